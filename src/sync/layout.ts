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
 *   57-60 the slot of the thread that writes it back
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
export const WRITER_SHIFT = 57;
export const WRITER_MASK = 0xf;

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
/** On their way to the store, and not dirty. */
export const LIST_WRITEBACK = 7;
export const LIST_SNAPSHOT = 8;
export const LINK_FRAME_MASK = 0xffffff;
export const LINK_LIST_SHIFT = 24;

// Header (byte offsets).
export const HEADER_MAGIC = 0;
export const HEADER_VERSION = 4;
export const HEADER_FRAMES = 8;
export const HEADER_PAGE_SIZE = 12;
export const HEADER_LISTS_LATCH = 64;
export const HEADER_LISTS = 128; // 4 lists of 16 bytes by id: free 1, small 2, main 3, snapshot at 8
export const HEADER_NODES_FREE = 288; // u64: tag, node + 1
export const HEADER_NODES_USED = 296;
export const HEADER_DIRTY = 320;
export const HEADER_WRITEBACK = 324;
export const HEADER_UNSTABLE = 328;
export const HEADER_WRITE_PINNED = 332; // frames with counted write pins
export const HEADER_CREDITS = 336; // frame credits left
export const HEADER_GHOST_CLOCK = 340;
export const HEADER_FLUSHER = 348; // slot + 1 of the thread that does background write-back
export const HEADER_CACHE = 352; // a number that tells this cache from others of the process
export const HEADER_PLAIN_VIEWS = 356; // 1: mapped views use plain accesses and membarrier; 0: atomic ones
export const HEADER_RECOVERED = 360; // threads that were cleaned up after
export const HEADER_LOADING = 364; // the system's number of the thread that loads an addon, or terminates a thread (base/load-guard.ts)
export const HEADER_BYTES = 4096;

// A thread's slot.
export const THREADS = HEADER_BYTES;
export const THREAD_BYTES = 128;
export const THREAD_STATE = 0; // THREAD_FREE, ...
export const THREAD_DOORBELL = 4;
export const THREAD_SEEN_HEAD = 8; // u64: bucket head seen by the last lookup
export const THREAD_SEEN_PREVIOUS = 16; // frame + 1 before the one found in its chain
export const THREAD_CREDITS = 20;
export const THREAD_RACED = 24; // the frame in which tryPinShared answered LOST_WAKE
export const THREAD_GENERATION = 28; // how often the slot was taken
export const THREAD_ID = 32; // the system's number of the thread
export const THREAD_START = 36; // when it began, in the system's ticks: a number can come back
export const THREAD_HAZARD_0 = 40; // frame + 1 that a mapped view is storing to
export const THREAD_HAZARD_1 = 44;
export const THREAD_STORE_CALLS = 48; // loads, grants and rounds of write-back on their way
export const THREAD_WRITE_PAGES = 52; // pages under its locked write pins (those under counted ones: HEADER_WRITE_PINNED); throttling leaves them out
export const THREAD_PINNED_CREDITS = 56; // credits that belong to pins (the rest to pins that are being taken)
export const THREAD_RECOVERER = 60; // slot + 1 of the thread that cleans up after this one
export const THREAD_VERSION = 64; // the version that its last optimisticBegin saw
export const THREAD_BLOCKED = 68; // node + 1 for which it blocks in a sync call
export const THREAD_CLOSING = 72; // 1: leaving; it takes no new work
export const THREADS_MAX = 16;

export const THREAD_FREE = 0;
export const THREAD_ATTACHED = 1;
/** Its thread is gone, and somebody cleans up after it. */
export const THREAD_DEAD = 2;

// A mapping's record.
export const MAPPINGS = THREADS + THREADS_MAX * THREAD_BYTES;
export const MAPPING_BYTES = 256;
export const MAPPINGS_MAX = 1024;
// What is read on every hit, and changes seldom, has a cache line of its own.
export const MAPPING_STATE = 0; // MAPPING_FREE, ...
export const MAPPING_GENERATION = 4;
export const MAPPING_SIZE = 8; // f64 bits
export const MAPPING_OLD_SIZE = 16;
export const MAPPING_PHASE = 24; // CUT_NONE, ..., below a count of its changes (CUT_STEP)
export const MAPPING_CUT_DUE = 28; // CUT_DUE_NO, ...
export const MAPPING_GATE_FIRST = 32; // new pages of [first, last] stay out ...
export const MAPPING_GATE_LAST = 36;
export const MAPPING_GATE_UNTIL = 40; // ... until then (milliseconds of the shared clock, low 32 bits); 0: no gate
export const MAPPING_STORE_THREAD = 44; // slot + 1 of the thread that has the store; 0: any thread can use it
export const MAPPING_CLOSER = 48; // slot + 1 of the thread that closes it
export const MAPPING_KEY_HASH = 52;
export const MAPPING_FACTS_BYTES = 56; // length of its facts (FACTS_BYTES)
export const MAPPING_FAILING = 60; // 1 + a number for what its storage failed with last; 0: it has taken something since
// What changes all the time.
export const MAPPING_RESIDENT = 64;
export const MAPPING_DIRTY = 68;
export const MAPPING_WRITEBACK = 72;
export const MAPPING_UNSTABLE = 76;
export const MAPPING_DIRTY_LIST = 80; // head, tail, count
export const MAPPING_UNSTABLE_LIST_0 = 96;
export const MAPPING_UNSTABLE_LIST_1 = 112;
export const MAPPING_WRITEBACK_LIST = 128;
export const MAPPING_ERRSEQ = 144;
export const MAPPING_CHANGES = 148; // counts what only a store sync makes durable
export const MAPPING_DURABLE = 152; // its value that the last good store sync covered
export const MAPPING_DURABLE_WHOLE = 156; // the same for a sync of all metadata
export const MAPPING_OPENERS = 160; // u16 for each thread
export const MAPPING_CELLS = 192; // 8 words for the store's own use
export const MAPPING_HOLE_FROM = 224; // u64: a punch under way
export const MAPPING_HOLE_TO = 232; // u64
export const MAPPING_SYNC_ERRORS = 240; // store syncs that failed, and pages that are dirty again for that
export const MAPPING_SYNCING = 244; // epoch + 1 of the store sync on its way
export const MAPPING_WRITE_ERRORS = 248; // pages that are dirty again since their write failed
export const MAPPING_EPOCH = 252;

export const MAPPING_FREE = 0;
export const MAPPING_OPENING = 1;
export const MAPPING_OPEN = 2;
export const MAPPING_CLOSING = 3;
/** Its store died with the thread that had it: nothing can be read or written any more. */
export const MAPPING_ORPHANED = 4;

// What is under way with a file's size (MAPPING_PHASE).
/** The phase is in the low bits; the count above it tells one NONE from the next. */
export const CUT_MASK = 255;
export const CUT_STEP = 256;
export const CUT_NONE = 0;
/** A cut that can be undone: MAPPING_OLD_SIZE has the size to go back to. */
export const CUT_UNDOABLE = 1;
/** A cut that has to be finished. */
export const CUT_FINAL = 2;
/** A punch of [MAPPING_HOLE_FROM, MAPPING_HOLE_TO), to be done again. */
export const CUT_PUNCH = 3;
/** The store of a closing file without pages is being closed, or is closed. */
export const CUT_CLOSE = 4;

// Whether the store may be longer than the file (MAPPING_CUT_DUE).
export const CUT_DUE_NO = 0;
/** An extension is under way, and will say what is right. */
export const CUT_DUE_EXTENDING = 1;
/** The store has to be cut to the file's size before anything depends on that. */
export const CUT_DUE = 2;

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
/** Above bit 0, how often the frame has changed hands or its views were sent to look again; bit 0: views may store. */
export const RECORD_VIEW = 28;
export const VIEW_WRITABLE = 1;
export const VIEW_STEP = 2;

/** Each mapping has five records that hold no page. Two more serve the cache: the directory of open files, and the pool. */
export const LOCKS_PER_MAPPING = 5;
export const LOCK_RESIZE = 0;
export const LOCK_INVALIDATE = 1;
/** Held during a store sync. */
export const LOCK_SYNC = 2;
/** Never held: its waiters are calls that another thread, which has the store, answers. */
export const LOCK_CALLS = 3;
/** Held while somebody goes through the dirty or write-back list; a leaf: nobody waits while he has it. */
export const LOCK_WALK = 4;
export const LOCK_DIRECTORY = 0;
export const LOCK_POOL = 1;
export const LOCKS_MAX = MAPPINGS_MAX * LOCKS_PER_MAPPING + 2;

/** Counted pins on their way from thread to thread. */
export const TRANSFER_BYTES = 16;
export const TRANSFERS_MAX = 1024;
export const TRANSFER_STATE = 0; // generation << 6 | thread << 2 | state: whose it is (the sender, or who is adopting it) changes with it
export const TRANSFER_CREDITS = 8;
export const TRANSFER_PAGES = 12; // pages in transit
export const TRANSFER_STATE_MASK = 3;
export const TRANSFER_THREAD_SHIFT = 2;
export const TRANSFER_GENERATION_SHIFT = 6;
export const TRANSFER_FREE = 0;
export const TRANSFER_OFFERED = 1;
export const TRANSFER_ADOPTING = 2;
/** A page in transit: below, frame + 1 and whether it is pinned for writing (bit 31); above, its transfer + 1. 0: none. */
export const TRANSIT_BYTES = 8;
export const TRANSITS_MAX = 4096;
export const TRANSIT_WRITE_BIT = 31;

/** A shared hold of a scope: scope, record + 1. So that a circle of waits is found whichever threads it runs through. */
export const SCOPE_HOLD_BYTES = 8;
export const SCOPE_HOLDS_MAX = 4096;

/** Counters of one file and thread, doubles (cache/counters.ts). Behind those of the last file: those of the cache itself. */
export const COUNTERS = 10;

/** What another thread has to know of an open file, as JSON. */
export const FACTS_BYTES = 8192;

/** The granted bits of a block word (store/contract.ts: 2 bits a block, the lower one granted, the upper one reserved). */
export const BLOCKS_GRANTED = 0x55555555;

// Outcomes that endWriteback takes.
export const OUTCOME_STABLE = 0;
export const OUTCOME_UNSTABLE = 1;
export const OUTCOME_FAILED = 2;

// Bytes a frame: record 32, bucket 8, links 8, log sequence number 8, block word 4, ghost 4.
export const METADATA_BYTES_PER_FRAME = 64;
