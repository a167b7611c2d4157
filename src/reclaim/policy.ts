/**
 * What a reclaim policy is: it chooses which clean page leaves next. The queues are lists in shared memory; a policy holds
 * no page state of its own.
 */
export interface ReclaimPolicy {
  readonly name: string;
  /** The next frame to try, and the queue it was seen on; or undefined when its queues are empty. Never waits. */
  candidate(): { frame: number; list: number } | undefined;
  /**
   * Looks at the candidate: "evict" it, or it was moved on ("kept") and the next one is to be asked for.
   */
  judge(frame: number, list: number): "evict" | "kept";
  /** The page leaves the cache. */
  evicted(mapping: number, index: number, list: number): void;
}
