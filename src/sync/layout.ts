/**
 * The layout of the words memory, shared by the AssemblyScript sources in words/ (which change it) and by TypeScript
 * (which reads it). Constants only, plain integers, so that both compilers take this file as it is.
 *
 * A page word is 64 bits: 32 of locks and pins below, 32 of state above. Bit numbers here; docs/page-states.md draws it.
 *
 *   0-1 state | 2 exclusive | 3 waiters | 4 gate | 5 evicting | 6-17 shared holders, or the owner's thread slot
 *   18-27 counted read pins | 28 off the reclaim queues
 *   32-41 counted write pins | 42 uptodate | 43 dirty | 44 writeback | 45 unstable | 46 epoch | 47 grant | 48 towrite
 *   49 fresh | 50 modified | 51 owner died | 52 view | 53 failed | 54-55 frequency | 56 home is main
 *
 * See also: words/README.md (which function makes which arrow).
 */

// States of a frame.
export const STATE_FREE = 0;
export const STATE_RESERVED = 1;
export const STATE_MAPPED = 2;
export const STATE_SNAPSHOT = 3;
export const STATE_MASK = 3;

// Bit numbers of the page word.
export const EXCLUSIVE_BIT = 2;
export const WAITERS_BIT = 3;
export const GATE_BIT = 4;
export const EVICTING_BIT = 5;
export const HOLDERS_SHIFT = 6;
export const HOLDERS_MASK = 0xfff;
export const READS_SHIFT = 18;
export const READS_MASK = 0x3ff;
export const OFF_BIT = 28;
export const WRITES_SHIFT = 32;
export const WRITES_MASK = 0x3ff;
export const UPTODATE_BIT = 42;
export const DIRTY_BIT = 43;
export const WRITEBACK_BIT = 44;
export const UNSTABLE_BIT = 45;
export const EPOCH_BIT = 46;
export const GRANT_BIT = 47;
export const TOWRITE_BIT = 48;
export const FRESH_BIT = 49;
export const MODIFIED_BIT = 50;
export const OWNER_DIED_BIT = 51;
export const VIEW_BIT = 52;
export const FAILED_BIT = 53;
export const FREQUENCY_SHIFT = 54;
export const FREQUENCY_MASK = 3;
export const MAIN_BIT = 56;

// Limits that the word's fields give (base/limits.ts has the same, a test compares).
export const HOLDERS_MAX = 4094;
export const READS_MAX = 1022;
export const WRITES_MAX = 1022;

// What a step answers. Zero or more: done (bits below, or a number); less: not done, nothing changed.
export const OK = 0;
/** Lost a swap to somebody else: call again. */
export const LOST = -1;
/** Held in a way that excludes this: wait. */
export const BUSY = -2;
/** Not that page any more: look it up again. */
export const GONE = -3;
/** A count or table is at its limit. */
export const FULL = -4;
/** Undone after a race that others met: do what WAKE and IDLE ask for on that frame, then call again. */
export const LOST_WAKE = -5;
/** Two upgraders of one page. */
export const DEADLOCK = -6;
/** There is none. */
export const NONE = -7;

// What a release answers, as bits.
export const WAKE = 1;
export const IDLE = 2;

// Lists. Every frame is on at most one; its link word says which.
export const LIST_NONE = 0;
export const LIST_FREE = 1;
export const LIST_SMALL = 2;
export const LIST_MAIN = 3;
export const LIST_DIRTY = 4;
export const LIST_UNSTABLE_0 = 5;
export const LIST_UNSTABLE_1 = 6;
export const LIST_SNAPSHOT = 7;
export const LINK_FRAME_MASK = 0xffffff;
export const LINK_LIST_SHIFT = 24;

// Header (byte offsets).
export const HEADER_MAGIC = 0;
export const HEADER_VERSION = 4;
export const HEADER_FRAMES = 8;
export const HEADER_PAGE_SIZE = 12;
export const HEADER_LISTS_LATCH = 64;
export const HEADER_LISTS = 128; // 4 lists of 16 bytes by id: free 1, small 2, main 3, snapshot at 7
export const HEADER_NODES_FREE = 256; // u64: tag, node + 1
export const HEADER_NODES_USED = 264;
export const HEADER_DIRTY = 320;
export const HEADER_WRITEBACK = 324;
export const HEADER_UNSTABLE = 328;
export const HEADER_WRITE_PINNED = 332; // frames with counted write pins
export const HEADER_CREDITS = 336; // frame credits left
export const HEADER_GHOST_CLOCK = 340;
export const HEADER_HELD_DIRTY = 344; // write-pinned frames that are dirty by a locked pin (throttling leaves them out)
export const HEADER_BYTES = 4096;

// A thread's slot.
export const THREADS = HEADER_BYTES;
export const THREAD_BYTES = 64;
export const THREAD_STATE = 0;
export const THREAD_DOORBELL = 4;
export const THREAD_SEEN_HEAD = 8; // u64: bucket head seen by the last lookup
export const THREAD_SEEN_PREVIOUS = 16; // frame + 1 before the one found in its chain
export const THREAD_CREDITS = 20;
export const THREAD_RACED = 24; // the frame in which tryPinShared answered LOST_WAKE
export const THREADS_MAX = 16;

// A mapping's record.
export const MAPPINGS = THREADS + THREADS_MAX * THREAD_BYTES;
export const MAPPING_BYTES = 128;
export const MAPPINGS_MAX = 1024;
export const MAPPING_STATE = 0;
export const MAPPING_GENERATION = 4;
export const MAPPING_SIZE = 8; // f64 bits
export const MAPPING_OLD_SIZE = 16;
export const MAPPING_PHASE = 24;
export const MAPPING_EPOCH = 28;
export const MAPPING_RESIDENT = 32;
export const MAPPING_DIRTY = 36;
export const MAPPING_WRITEBACK = 40;
export const MAPPING_UNSTABLE = 44;
export const MAPPING_DIRTY_LIST = 48; // head, tail, count
export const MAPPING_UNSTABLE_LIST_0 = 64;
export const MAPPING_UNSTABLE_LIST_1 = 80;
export const MAPPING_ERRSEQ = 96;

// A waiter node.
export const NODES = MAPPINGS + MAPPINGS_MAX * MAPPING_BYTES;
export const NODE_BYTES = 32;
export const NODES_MAX = 4096;
export const NODE_STATE = 0;
export const NODE_FRAME = 4;
export const NODE_THREAD = 8;
export const NODE_MODE = 12;
export const NODE_SCOPE = 16;
export const NODE_NEXT = 20;
export const NODE_PREVIOUS = 24;
export const NODE_RESULT = 28;

export const NODE_FREE = 0;
export const NODE_WAITING = 1;
export const NODE_GRANTED = 2;
export const NODE_CANCELLED = 3;
export const NODE_DISMISSED = 4;

// What a waiter waits for.
export const MODE_SHARED = 1;
export const MODE_EXCLUSIVE = 2;
export const MODE_UPGRADE = 3;
/** Until the page is not under write-back; takes no lock. */
export const MODE_WRITEBACK = 4;
/** Until somebody says so; takes no lock. */
export const MODE_NOTIFY = 5;

// A frame's waiting queue: latch, head and tail (node + 1).
export const QUEUE_LATCH = 1;
export const QUEUE_HEAD_SHIFT = 1;
export const QUEUE_TAIL_SHIFT = 14;
export const QUEUE_MASK = 0x1fff;

// A record of a frame (or of a lock that is none: see LOCKS_PER_MAPPING), 32 bytes, two on a cache line.
export const RECORDS = NODES + NODES_MAX * NODE_BYTES;
export const RECORD_SHIFT = 5;
export const RECORD_WORD = 0;
export const RECORD_VERSION = 8;
export const RECORD_INDEX = 12;
export const RECORD_MAPPING = 16; // u16
export const RECORD_DIRTIED = 18; // u16, seconds
export const RECORD_NEXT = 20; // frame + 1: the next in its bucket's chain
export const RECORD_QUEUE = 24;
export const RECORD_SCOPE = 28;

/** Each mapping has two records that hold no page: its resize mutex and its invalidate lock. One more serves the pool. */
export const LOCKS_PER_MAPPING = 2;
export const LOCK_RESIZE = 0;
export const LOCK_INVALIDATE = 1;
export const LOCKS_MAX = MAPPINGS_MAX * LOCKS_PER_MAPPING + 1;

/** The granted bits of a block word (store/contract.ts: 2 bits a block, the lower one granted, the upper one reserved). */
export const BLOCKS_GRANTED = 0x55555555;

// Outcomes that endWriteback takes.
export const OUTCOME_STABLE = 0;
export const OUTCOME_UNSTABLE = 1;
export const OUTCOME_FAILED = 2;

// Bytes a frame: record 32, bucket 8, links 8, log sequence number 8, block word 4, ghost 4.
export const METADATA_BYTES_PER_FRAME = 64;
