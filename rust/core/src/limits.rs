//! Every bound on what a peer may make us hold, wait for or count, each with its reason.
//!
//! Compared before memory is taken. `dcmfast.limits` shows these numbers to Python, so that tests
//! and help quote them and never repeat them. Sections are those of the standard's layers.

// ---- Upper layer (PS3.8) ----------------------------------------------------------------------

/// Smallest `--max-pdu`; DCMTK's own lower bound.
pub const MAX_PDU_BYTES_MIN: u32 = 4096;
/// Largest `--max-pdu`, without the 6-byte header; DCMTK's own upper bound.
pub const MAX_PDU_BYTES_MAX: u32 = 131_072;
/// Announced when `--max-pdu` is not given; DCMTK's default.
pub const MAX_PDU_BYTES_DEFAULT: u32 = 16_384;
/// Longest A-ASSOCIATE-RQ or -AC: 128 contexts of 30 syntaxes of 68 bytes are about 256 KiB,
/// ordinary requests are under 20 KiB.
pub const ASSOCIATE_PDU_BYTES_MAX: u32 = 262_144;
/// Contexts of one association: the odd IDs 1 to 255 (PS3.8 §9.3.2.2).
pub const PRESENTATION_CONTEXTS_MAX: usize = 128;
/// Transfer syntaxes read per context; fewer than 60 exist. The rest is ignored.
pub const TRANSFER_SYNTAXES_PER_CONTEXT_MAX: usize = 128;
/// User-information sub-items: roles and extended negotiation, one per SOP class.
pub const USER_INFORMATION_ITEMS_MAX: usize = 1024;
/// Empty PDVs in a row within one message: progress must be made.
pub const EMPTY_PDVS_IN_A_ROW_MAX: usize = 1024;

// ---- DIMSE (PS3.7) ----------------------------------------------------------------------------

/// Longest command set; the largest legal one is under 2 KiB.
pub const COMMAND_SET_BYTES_MAX: usize = 65_536;
/// Elements of a command set.
pub const COMMAND_SET_ELEMENTS_MAX: usize = 256;

// ---- Data set (PS3.5) -------------------------------------------------------------------------

/// Nesting of sequences kept on the scanner's own stack; 64 is the deepest seen in good data.
pub const SEQUENCE_DEPTH_MAX: usize = 128;
/// Longest value that the scanner keeps for names and checks; longer ones are cut there.
pub const WANTED_VALUE_BYTES_MAX: usize = 1024;
/// Tags whose values one scanner keeps.
pub const WANTED_TAGS_MAX: usize = 8;
/// Output buffer of the inflater, in bytes; what comes out is scanned and forgotten.
pub const INFLATE_BUFFER_BYTES: usize = 32 * 1024;
/// Bytes let pass after the end of a deflate stream: the NUL that makes its length even (PS3.5
/// §A.5), and the checksum and length that writers leave who make gzip streams and cut off the
/// head.
pub const DEFLATE_TRAILER_BYTES_MAX: usize = 16;
/// Inflated bytes that no ratio is asked of: a tenth of a second of work, and more than blank test
/// images of usual size.
pub const INFLATED_FREE_BYTES: u64 = 64 * 1024 * 1024;
/// Inflated bytes per deflated byte beyond that; deflate itself ends at 1032, and good objects of
/// that size stay far below.
pub const INFLATED_RATIO_MAX: u64 = 1000;
/// Inflated bytes of one data set in all: 16 GiB, some 20 s of work.
pub const INFLATED_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Blocks that a data set is read in while it is re-encoded; what comes out of one is at most three
/// times as long (headers that grow and delimiters), and goes out before the next is read.
pub const REWRITE_BLOCK_BYTES: usize = 64 * 1024;
/// Bytes of a data set that wait in memory to be re-encoded: headers and sequences whose lengths are not
/// known yet. What is longer goes to a file first and is re-encoded from there.
pub const REWRITE_HELD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes from which a data set is re-encoded while it arrives; shorter ones are held, and written at once.
pub const REWRITE_FOLLOWED_BYTES_MIN: u64 = 64 * 1024;
/// Lengths that a re-encoded data set defines before what they count: of sequences, items and groups,
/// four bytes each, so 32 MiB. A multi-frame object of 100,000 frames has some four million; more is
/// refused with A700H.
pub const REWRITE_SLOTS_MAX: usize = 8 * 1024 * 1024;
/// Private blocks of the items that are open at once whose creators are remembered, 32 bytes each; the
/// elements of more are unknown. An item of a large vendor has a dozen.
pub const REWRITE_PRIVATE_BLOCKS_MAX: usize = 4096;
/// Most that a file or an item is aligned to (`+p`); further bytes of it are not made in one go.
pub const REWRITE_PADDING_BYTES_MAX: u32 = 1024 * 1024;
/// Elements that are put in order when a data set is not: 24 bytes each, all of a disordered item.
pub const ORDERED_ELEMENTS_MAX: usize = 1024 * 1024;
/// Longest deflated data set, inflated, that is put in order: nobody can seek in a stream.
pub const ORDERED_INFLATED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Odd elements of one data set that are told, a line each; the others are counted. Files with more than a
/// few are rare, and a peer must not fill a log.
pub const ODDITIES_TOLD_MAX: usize = 32;
/// Tags of the items that are open at once that are remembered, four bytes each, to tell an element that
/// comes twice from one that comes late: more than an item of a modality has.
pub const REMEMBERED_TAGS_MAX: usize = 4096;
/// Longest text whose blanks at the end say nothing when two data sets are compared: it may be all
/// blanks, and those are held. Longer text is compared as it is.
pub const COMPARED_TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read at once of the data set that another one is compared with.
pub const COMPARED_BLOCK_BYTES: usize = 64 * 1024;
/// Bytes held back while the data set's own UIDs are awaited for the file meta information; they
/// stand among the first elements, so more than this is abnormal and falls back to the command's.
pub const HEAD_HOLD_BYTES_MAX: usize = 65_536;

// ---- Storage (PS3.10) -------------------------------------------------------------------------

/// Longest file name extension (`-fe`): with the longest prefix and the longest encoded UID a name
/// stays under the 255 bytes that file systems allow.
pub const FILE_EXTENSION_BYTES_MAX: usize = 32;
/// Longest name of a study's folder (`-sp`): what file systems allow; a longer patient's name is cut.
pub const FOLDER_NAME_BYTES_MAX: usize = 255;
/// Longest prefix of a study's folder (`-ss`, `-su`): with a legal UID behind it the name stays within
/// [`FOLDER_NAME_BYTES_MAX`].
pub const STUDY_PREFIX_BYTES_MAX: usize = 190;
/// Milliseconds that a folder named by the time waits for a clock that gives a name again, before it is
/// given a serial number.
pub const FOLDER_CLOCK_WAITS_MAX: u32 = 3;
/// Studies that nobody sends at present and whose end was not seen; the one that rested longest ends
/// when there are more. A receiver without `-tos` would otherwise remember every study that was the
/// last of an association beside another.
pub const RESTING_STUDIES_MAX: usize = 1024;
/// Names of files remembered to be renamed at the end of their studies (`-rns`), in bytes, over all
/// studies: some 800,000. Files beyond keep their names, and a line says so.
pub const RENAMED_NAMES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Folders whose next free number is remembered (`-rns`); forgotten together when full.
pub const NUMBERED_FOLDERS_MAX: usize = 4096;
/// Names tried in turn where a naming option must not meet an existing file (`-tn`, `+fsu`,
/// `+fst`).
pub const NAME_ATTEMPTS_MAX: u32 = 10_000;
/// Blocks read when a new object is compared with a stored one of its name.
pub const COMPARE_BLOCK_BYTES: usize = 64 * 1024;
/// Block in which a file to be sent is looked through before it is sent: a value longer than this is
/// sought over.
pub const CHECK_BLOCK_BYTES: usize = 16 * 1024;
/// Slices handed to the kernel in one vectored write; more fragments take several writes.
pub const WRITE_SLICES_MAX: usize = 64;
/// Objects of one group commit: all associations at once wait for one sync at most.
pub const GROUP_OBJECTS_MAX: usize = ASSOCIATIONS_MAX;
/// Longest time that a group waits for objects that are still being received, in microseconds; also
/// at most half of what the last commit took, so that waiting never costs more than it can save.
pub const GROUP_GATHER_US_MAX: u64 = 2000;
/// Directories remembered as synced with all their parents; forgotten together when full.
pub const SYNCED_DIRECTORIES_MAX: usize = 4096;
/// The output directory is looked at this rarely while objects come, in milliseconds: it may have
/// been moved away and made anew, and whoever does that cannot send an object within this time.
pub const AREA_LOOK_MS: u64 = 10;
/// Age from which an unlocked part file is stale although a process of its owner's number lives, in
/// seconds: far longer than an owner takes from creating the file to locking it.
pub const STALE_PART_AGE_S: u64 = 60;
/// A DICOMDIR that is read for the files that it names: a record takes some 500 bytes, so that
/// half a million files find room.
pub const DICOMDIR_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// What stands in a data set before the last value that is invented (0020,0013); a few kilobytes.
pub const INVENTED_HEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Head of a file that is read to find its UIDs; file meta information and the first elements of
/// the data set are a few hundred bytes, private information may take more.
pub const FILE_META_BYTES_MAX: usize = 262_144;

/// Most that a deflated data set may become in memory when a file is read for Python. Deflate makes
/// up to 1,032 bytes of one, so that a mail attachment could otherwise ask for a server's memory;
/// good deflated data (text, small images) is far below.
pub const INFLATED_DATA_SET_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Elements of one table for Python, 32 bytes each, so 128 MiB: two MiB of deflated bytes may be a
/// quarter of a thousand million elements of nothing. A multi-frame object of 20,000 frames has some
/// two million; more are left to pydicom, and refused where they were deflated.
pub const ELEMENT_TABLE_ROWS_MAX: usize = 4 * 1024 * 1024;

// ---- Index -------------------------------------------------------------------------------------

/// All indexed values of one instance together, with their headers: ordinary instances have under
/// 2 KiB, and one journal record carries them beside the object. A value that finds no room is left out.
pub const ATTRIBUTES_BYTES_MAX: usize = 144 * 1024;
/// Bytes of a sequence that are held to be indexed, before it is made uniform; longer ones are left
/// out. Code sequences and request attributes have a few hundred.
pub const INDEXED_SEQUENCE_BYTES_MAX: usize = 120 * 1024;
/// Nesting within an indexed sequence; request attributes have two levels below.
pub const INDEXED_SEQUENCE_DEPTH_MAX: usize = 8;
/// Longest text, or sequence in the form that is kept, of one indexed attribute: what a VR with a length
/// of 16 bits can hold, and more than the 10,240 characters of LT take in any character set. Texts that
/// are longer all the same (in Implicit VR) are cut there, for a query to find them by.
pub const INDEXED_VALUE_BYTES_MAX: usize = 65_534;
/// Part of [`ATTRIBUTES_BYTES_MAX`] that long values of other attributes leave to Patient ID, Study and
/// Series Instance UID, by which an instance is listed.
pub const ATTRIBUTES_RESERVED_BYTES: usize = INDEXED_VALUE_BYTES_MAX + 256;
/// Longest path of a file outside the archive's own layout; Linux has no longer ones.
pub const FILE_PATH_BYTES_MAX: usize = 4096;
/// Bytes of a folded value in a secondary key: with tag, hash and entity far below LMDB's 511, and
/// longer than nearly every value. Longer ones are told apart by a hash.
pub const SECONDARY_KEY_VALUE_BYTES_MAX: usize = 160;
/// SOP classes counted per series; a series has one by PS3.3, so more is somebody's game.
pub const SOP_CLASSES_PER_SERIES_MAX: usize = 32;
/// Bytes by which an index may end before its last page: LMDB does not write pages that one
/// transaction took and gave back, and the largest of ours has 8192 entries.
pub const INDEX_UNWRITTEN_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Pages of an index that are looked at in one read transaction: 4 MiB, some milliseconds.
pub const INDEX_CHECK_PAGES: usize = 1024;
/// Readers of one index at once, of all processes: every association, and tools beside them.
pub const INDEX_READERS_MAX: u32 = 2048;

// ---- Query/retrieve (PS3.4 Annex C) ------------------------------------------------------------

/// Longest identifier of a C-FIND, C-MOVE or C-GET request. Twenty thousand UIDs are 1.3 MB; more
/// is refused with A700H.
pub const IDENTIFIER_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Elements of one level of an identifier: the standard's tables have under 100 keys, the whole
/// dictionary 5,000.
pub const IDENTIFIER_ELEMENTS_MAX: usize = 8192;
/// Items of a sequence that a typed query key may name (`Sequence[n]`); those up to it are made.
pub const QUERY_KEY_ITEMS_MAX: usize = 1000;
/// Rows of the index that one page of a query looks at: some milliseconds, so that no transaction
/// is long, and C-CANCEL is looked for often.
pub const QUERY_ROWS_PER_PAGE: usize = 4096;
/// Matches of one page; what they encode to leaves in a few writes.
pub const QUERY_MATCHES_PER_PAGE: usize = 100;
/// Candidates that a secondary key may leave: half a MiB of numbers. A key with more is no help,
/// and everything is gone through page by page instead.
pub const QUERY_CANDIDATES_MAX: usize = 65_536;
/// Values of one key that are compared with each record, by the standard's rules; lists of UIDs are looked
/// up, and may be longer. Some megabytes when they are compiled.
pub const QUERY_VALUES_MAX: usize = 16_384;
/// So many bytes of keys make the look at a record count as one more of [`QUERY_ROWS_PER_PAGE`]: a page
/// takes some tens of milliseconds, whatever is asked.
pub const QUERY_KEY_BYTES_PER_ROW: usize = 256;
/// Responses collected before they are sent in one write, in bytes; a C-CANCEL is looked for between
/// two of these.
pub const OPERATION_OUTPUT_BYTES: usize = 64 * 1024;
/// Bytes that one look for a C-CANCEL takes in: some six hundred of them, where one is enough. A peer
/// that sends more has them looked at after the next answers, and gets those meanwhile.
pub const CANCEL_LOOK_BYTES_MAX: usize = 64 * 1024;
/// Objects up to this size are read whole and compared with their digest before they are sent; it
/// holds a CT or MR image. Longer ones are checked while they pass.
pub const RETRIEVE_HELD_BYTES_MAX: usize = 1024 * 1024;
/// Matched instances looked up in one read transaction, some 100 KiB of records.
pub const RETRIEVE_PAGE_INSTANCES: usize = 256;
/// Matched instances that are looked ahead for the classes and transfer syntaxes to propose: about
/// 20 ms of look-ups before an association.
pub const RETRIEVE_WINDOW_INSTANCES: usize = 10_000;
/// Memory for the places of matched instances, two to four bytes each as a rule: some ten million.
/// More is refused with A701H.
pub const RETRIEVE_KEYS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Memory for the UIDs of matched instances, half a million or more: those that are gone when their turn
/// comes are named. A failed list has room for some thousand.
pub const RETRIEVE_UIDS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Matched instances that are put in order of arrival, which takes 32 bytes each for a moment.
pub const RETRIEVE_SORTED_INSTANCES_MAX: u64 = 1_000_000;
/// Longest Failed SOP Instance UID List: what an explicit UI value may hold, a thousand UIDs.
pub const FAILED_UIDS_BYTES_MAX: usize = 0xFFFE;
/// Responses before the last one that a requestor takes for one request, unless it is told otherwise
/// (`--max-responses`): more studies than any archive, or instances in one query, are known to have.
pub const PENDING_RESPONSES_MAX: u32 = 1_000_000;
/// Of them, those in a row that bring nothing new: at ten a second, more than good peers send to show
/// that they are alive, they last longer than [`PENDING_PROGRESS_S`].
pub const PENDING_WITHOUT_NEWS_MAX: u32 = 65_536;
/// Responses may go on so long without anything new, in seconds, unless a requestor is told otherwise
/// (`--progress-timeout`): a tape is fetched and mounted meanwhile.
pub const PENDING_PROGRESS_S: u32 = 3600;
/// Identifiers that a Python program's C-FIND may leave in memory while another request is made over
/// its association, in bytes: some hundred thousand matches. Beyond that the program has to choose.
pub const FETCHED_AHEAD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Sub-associations of C-MOVE at once; further moves wait in order.
pub const MOVE_ASSOCIATIONS_MAX: usize = 32;
/// Connecting to a move destination, resolving its name apart, in seconds, without `--timeout`.
pub const MOVE_CONNECT_TIMEOUT_S: u32 = 10;
/// Silence of a move destination that owes an answer, in seconds, where neither a DIMSE nor a socket
/// timeout ends it (the tools have a socket timeout, as DCMTK's): storing one object may take minutes,
/// and a place among [`MOVE_ASSOCIATIONS_MAX`] is never held for good.
pub const MOVE_ANSWER_TIMEOUT_S: u32 = 600;

/// Sequences within sequences of an identifier that the log shows; it recurses, and nobody reads
/// deeper.
pub const LOGGED_SEQUENCE_DEPTH_MAX: usize = 8;

/// Lines of an identifier that the log shows; how many more there are is told. Ordinary ones have a
/// few dozen, and one of [`IDENTIFIER_BYTES_MAX`] could have half a million.
pub const LOGGED_DUMP_LINES_MAX: usize = 1000;

/// Bytes of an identifier that the log shows, in whole lines: [`LOGGED_DUMP_LINES_MAX`] of ordinary
/// length. Values are cut, but indentation adds up.
pub const LOGGED_DUMP_BYTES_MAX: usize = 128 << 10;

// ---- Archive -----------------------------------------------------------------------------------

/// Longest object, with its file meta information, that is kept in memory and written into the
/// journal record; a longer one goes to a spool file, for writing it twice would halve the rate.
pub const JOURNALED_OBJECT_BYTES_MAX: usize = 64 * 1024;
/// Longest payload of a journal record: an object of that size, all its indexed values
/// ([`ATTRIBUTES_BYTES_MAX`]) and a path, with room to spare.
pub const JOURNAL_RECORD_BYTES_MAX: usize = 256 * 1024;
/// Size of one journal segment. 16 MiB are some ten thousand small objects; replaying them all after
/// a crash takes less than a second.
pub const JOURNAL_SEGMENT_BYTES: usize = 16 * 1024 * 1024;
/// The first segment, so that a new area stores at once, and those on a disk that is nearly full. Some
/// of the longest records fit.
pub const JOURNAL_SMALL_SEGMENT_BYTES: usize = 1024 * 1024;
/// Journal segments of an area: what may be stored while a checkpoint is under way.
pub const JOURNAL_SEGMENTS_MAX: usize = 8;
/// Numbers of an area's own files: two thousand years at a million a second. Files with others are not
/// its own, and an import does not bring them.
pub const OWN_NUMBER_MAX: u64 = 1 << 56;
/// Buffers of records that are kept for the next ones: two commits' worth.
pub const SPARE_RECORDS_MAX: usize = 2 * COMMIT_ENTRIES_MAX;
/// Room of the largest such buffer: an ordinary small object, its head and its index entry. With their
/// number that is 16 MiB at most, while objects of this size come.
pub const SPARE_RECORD_BYTES_MAX: usize = 8 * 1024;
/// Records that are acknowledged but not in the index yet: who stores faster than they are applied
/// waits. Some seconds of work.
pub const APPLIER_RECORDS_MAX: usize = 8192;
/// Bytes of such records, which stay in memory.
pub const APPLIER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes of records found at start that are in memory at once while they are applied; the journal has
/// 113 MiB at most.
pub const RECOVERY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Index entries of one commit: beyond this number larger commits save next to nothing.
pub const COMMIT_ENTRIES_MAX: usize = 1000;
/// Longest time from an acknowledgement to its index commit when no query waits for it, in
/// milliseconds. Each commit is two flushes of the device that stores wait behind: with 100 ms, CT
/// slices in `group` came at 0.64 to 0.83 of a program that syncs a file each, with 500 ms at 0.74
/// to 1.09. Another program that reads the index sees an object this much later at most, unless it asks.
pub const COMMIT_DELAY_MS_MAX: u64 = 500;
/// Time after which the applier, while it waits for more, looks whether a reader of another process has
/// asked for the commit, in milliseconds: a hundred reads of eight bytes a second while objects come.
pub const ASKED_LOOK_MS: u64 = 10;
/// Time between two looks of such a reader at how far the index is, in milliseconds.
pub const BESIDE_LOOK_MS: u64 = 2;
/// Time that such a reader waits for the index, in milliseconds: a commit takes tens of them, on a disk
/// that is busy some seconds, and with a disk that is full for ever.
pub const BESIDE_WAIT_MS_MAX: u64 = 10_000;
/// Time that a start waits for a reader who applies the journal of an area that nobody served, in
/// milliseconds: eight full segments take some seconds.
pub const SETTLING_WAIT_MS_MAX: u64 = 60_000;
/// Time between two attempts to apply a record that the operating system refused (a full disk), in
/// milliseconds.
pub const APPLY_RETRY_MS: u64 = 250;
/// Time after which it is looked whether a journal segment can be freed, and whether the area is still
/// where it was, in milliseconds.
pub const CHECKPOINT_INTERVAL_MS: u64 = 200;
/// Time after which slots of index readers that died are given back, in seconds: until then the index
/// keeps the pages that they saw.
pub const STALE_READERS_INTERVAL_S: u64 = 60;
/// Bytes of the note of files that could not be deleted: some ten thousand of them. Beyond, `index verify`
/// finds them.
pub const UNDELETED_BYTES_MAX: usize = 1024 * 1024;
/// Time between two attempts to delete them, in seconds.
pub const UNDELETED_RETRY_S: u64 = 30;
/// Length from which a removal record takes no further instance; more take several records.
pub const REMOVAL_RECORD_BYTES: usize = 64 * 1024;
/// Names of one directory that are sorted at once when an area's files are looked through: some
/// megabytes, and a directory of any size is taken in such portions.
pub const DIRECTORY_PORTION_NAMES: usize = 65_536;
/// Threads that read files for the tools of an index; more only wait for the same disk.
pub const TOOL_THREADS_MAX: usize = 16;
/// Files that a reading thread is given at once.
pub const TOOL_BATCH_FILES: usize = 64;
/// Instances of one page of a tool that goes through an index: a millisecond.
pub const TOOL_PAGE_INSTANCES: usize = 2048;
/// Entries of one commit of an index that is being made. Nobody waits for it.
pub const TOOL_COMMIT_ENTRIES: usize = 8192;
/// Instances whose order of arrival is sorted at once: 16 bytes each, and a larger index takes
/// several passes over its keys.
pub const ARRIVAL_WINDOW_INSTANCES: u64 = 1 << 22;
/// Doubtful files that `verify` looks at again at its end; later ones are looked at once.
pub const DOUBTFUL_FILES_MAX: usize = 10_000;
/// Time given to a server to delete what its last commit made useless, before a file is called
/// unlisted, in milliseconds.
pub const DOUBTFUL_GRACE_MS: u64 = 500;

/// Rest of the background check after each portion of its work, in multiples of what the portion took:
/// it has a fifth of one processor or disk while nothing is stored.
pub const BACKGROUND_REST_IDLE: u32 = 4;
/// The same while objects are stored: a twentieth.
pub const BACKGROUND_REST_BUSY: u32 = 19;
/// Longest rest of the background check, in milliseconds: it notices a stop at once all the same.
pub const BACKGROUND_REST_MS_MAX: u64 = 1000;
/// Time that the background check waits for records to be applied before it gives up what it doubts,
/// in milliseconds: the applier does so within a tenth of a second unless the system refuses.
pub const BACKGROUND_PATIENCE_MS: u64 = 10_000;
/// Findings of the background check that are told one by one; of the rest only their number is.
pub const BACKGROUND_FINDINGS_TOLD: u64 = 100;

// ---- Commands of storescp (-xcr, -xcs) --------------------------------------------------------

/// Commands that run at once. Beyond this more of them only make each other slower; they start when
/// others end.
pub const COMMANDS_RUNNING_MAX: usize = 128;
/// Commands that wait for their turn, some 300 bytes each. More are given up, each with an error in the
/// log: a store never waits for them.
pub const COMMANDS_WAITING_MAX: usize = 65_536;
/// How often it is looked for commands that have ended, in milliseconds, while others wait for a turn.
pub const COMMAND_LOOK_MS: u64 = 10;
/// The same while none waits: only the process table holds them then.
pub const COMMAND_REAP_MS: u64 = 200;

// ---- Server -----------------------------------------------------------------------------------

/// Associations at once: a small stack and two descriptors each, below the usual soft limit of
/// 1024.
pub const ASSOCIATIONS_MAX: usize = 512;
/// The largest number of associations that a configuration (`MaxAssociations`) or
/// `--max-associations` may ask for; two descriptors each, and 512 KiB of address space.
pub const CONFIGURED_ASSOCIATIONS_MAX: usize = 4096;
/// Connections that have not associated yet, counted apart so that idle ones use up no association.
pub const PENDING_CONNECTIONS_MAX: usize = 512;
/// Host names of peers remembered for log lines, all forgotten when full: a forgotten one is asked
/// for again.
pub const HOST_NAMES_MAX: usize = 1024;
/// Time after which a host name is asked for again, in seconds: rules of access control follow the
/// name service, as the caches of other programs do.
pub const HOST_NAME_AGE_S: u64 = 60;
/// Lookups of host names under way, a thread each; beyond them a name is taken for unknown, as it
/// would be after the wait.
pub const HOST_LOOKUPS_MAX: usize = 64;
/// Longest file of access rules, in bytes; the system's own have a few hundred.
pub const HOST_ACCESS_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Stack of an association's thread, in bytes; nothing recurses on input.
pub const ASSOCIATION_STACK_BYTES: usize = 512 * 1024;
/// Read buffer of an association between messages, in bytes.
pub const IDLE_READ_BUFFER_BYTES: usize = 16_384 + 2048;
/// Read buffer while a large message is under way, in bytes; taken from a pool and given back.
/// Holds the longest PDU, an A-ASSOCIATE-RQ of [`ASSOCIATE_PDU_BYTES_MAX`] with its header; larger blocks
/// fall out of the cache between socket and file (1 MiB: 0.55 of the limit for 210 MB objects, 0.96 so).
pub const MESSAGE_READ_BUFFER_BYTES: usize = 272 * 1024;
const _: () = assert!(MESSAGE_READ_BUFFER_BYTES >= ASSOCIATE_PDU_BYTES_MAX as usize + 6);
/// A connection opened → A-ASSOCIATE-RQ complete, in seconds (ARTIM; `--acse-timeout`).
pub const ACSE_TIMEOUT_S_DEFAULT: u32 = 30;
/// Idle between messages, and silence within one, in seconds (`--socket-timeout`).
pub const SOCKET_TIMEOUT_S_DEFAULT: u32 = 60;
/// PDU header seen → PDU complete, in seconds, plus the time its size takes at
/// [`SLOWEST_PEER_BYTES_PER_S`]. A total: bytes do not restart it.
pub const PDU_TIMEOUT_S: u32 = 30;
/// Slowest peer that is waited for, in bytes per second.
pub const SLOWEST_PEER_BYTES_PER_S: u32 = 10_000;
/// Without one byte accepted by the peer, in seconds.
pub const WRITE_TIMEOUT_S: u32 = 30;
/// After a rejection, abort or release: the peer closes, in seconds.
pub const CLOSE_TIMEOUT_S: u32 = 5;
/// Bytes read and dropped after an abort, so that the peer sees it: what may be in flight.
pub const DISCARD_BYTES_MAX: usize = 1024 * 1024;
/// A stop was asked for: the objects in hand may take this long, in seconds.
pub const STOP_GRACE_S: u32 = 10;
/// Associations that do not end after a stop was asked for are waited for so long, in milliseconds:
/// longer than an object in hand may take ([`STOP_GRACE_S`] less one second), and short enough that
/// the areas are closed and the process gone within the grace.
pub const STOP_WAIT_MS: u64 = 9_300;

// ---- Transport Layer Security (PS3.15 Annex B) ------------------------------------------------

/// Certificates between a peer's and a trusted one; real chains have one or two.
pub const TLS_CERTIFICATE_CHAIN_MAX: u32 = 10;
/// Sessions remembered for peers that resume without a ticket (before TLS 1.3), a few KiB each.
pub const TLS_SESSIONS_MAX: i32 = 1024;
/// Sessions that a requestor keeps to resume: two come with each handshake of TLS 1.3, and the load
/// generator has hundreds at once; some KiB each.
pub const TLS_SESSIONS_KEPT_MAX: usize = 512;
/// How long a requestor offers one; what became of the peer's certificate meanwhile is not looked at.
pub const TLS_SESSION_AGE_S: u64 = 3600;
/// Plaintext of one record (RFC 8446 §5.1); longer messages take several.
pub const TLS_RECORD_BYTES_MAX: usize = 16 * 1024;
/// Records gathered before they are written to the socket, in bytes.
pub const TLS_WRITE_BYTES: usize = 128 * 1024;
/// What is received from a socket at once, so that a record costs an eighth of a system call and not
/// two. Held while a secure connection is not idle.
pub const TLS_READ_BYTES: usize = 128 * 1024;
/// Cipher suites of a peer's offer that a log line names.
pub const TLS_SUITES_SHOWN_MAX: usize = 32;
/// Longest file with a key, a certificate, parameters or a seed; a bundle of all public authorities
/// has a quarter of it.
pub const TLS_FILE_BYTES_MAX: usize = 1024 * 1024;

// ---- Load generator ----------------------------------------------------------------------------

/// Operations of one run, and so entries of its ledger, of 4 bytes each: 40 MB.
pub const LOAD_COUNT_MAX: u32 = 10_000_000;
/// Longest run, in seconds: a day.
pub const LOAD_DURATION_S_MAX: u32 = 86_400;
/// Associations of one run at once, a thread each; what our own receivers serve.
pub const LOAD_ASSOCIATIONS_MAX: usize = 512;
/// Operations a second of an open loop; beyond it the timetable is finer than any clock's use.
pub const LOAD_RATE_MAX: u32 = 1_000_000;
/// Longest Pixel Data of a made object: below the 4 GiB of an element's length, and no larger than
/// other tools read.
pub const LOAD_PIXEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Patients, studies, and series of a study.
pub const LOAD_ENTITIES_MAX: u32 = 1_000_000;
/// Files given to be stored: 400 bytes each in memory.
pub const LOAD_FILES_MAX: usize = 1_000_000;
/// Pixel Data up to this length is made in memory, of each thread; longer is made while it is sent.
pub const LOAD_HELD_OBJECT_BYTES: usize = 1024 * 1024;
/// Answers or objects of one operation of a run, which asks for one study at most; more are the
/// peer's fault.
pub const LOAD_OPERATION_OBJECTS_MAX: u64 = 1_000_000;
/// Failures without a success between them after which a thread gives up, and with it the run: the
/// peer is gone, or does not do what is asked.
pub const LOAD_FAILURES_IN_A_ROW_MAX: u32 = 20;
/// Different texts of failures that are counted apart: a peer could put anything into them.
pub const LOAD_ERROR_KINDS_MAX: usize = 100;
/// Objects that an audit names; all are counted.
pub const LOAD_FINDINGS_MAX: usize = 1000;
/// Intervals of a report's plots: as many as a wide screen has pixels to show.
pub const LOAD_INTERVALS_MAX: usize = 600;
/// Longest line of a ledger that is read again: a UID, a tabulator and a word, with room to spare.
pub const LOAD_LEDGER_LINE_BYTES_MAX: usize = 256;
/// Longest audit, in seconds: an hour, for a peer that never ends.
pub const LOAD_AUDIT_S_MAX: u32 = 3600;

// ---- Recordings --------------------------------------------------------------------------------

/// Longest content of one record of a recording: several times what the recorder reads at once.
pub const RECORDING_RECORD_BYTES_MAX: usize = 1024 * 1024;
/// What the recorder reads from one side before it writes to the other: all that it ever holds of a
/// peer that does not read, beside the kernel's own buffers.
pub const RECORDING_BLOCK_BYTES: usize = 64 * 1024;
/// Longest text in a record: an address, or the system's words for an error.
pub const RECORDING_TEXT_BYTES_MAX: usize = 1024;
/// Largest recording unless another bound is typed: 1 GiB.
pub const RECORDING_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;
/// Connections of a recording that are open at the same place of it; further ones are not shown. The
/// recorder itself makes no more than [`ASSOCIATIONS_MAX`].
pub const RECORDING_OPEN_MAX: usize = 4096;
/// First bytes of a value that a dump of a recording shows; what DCMTK's dumps show is less.
pub const RECORDING_SHOWN_VALUE_BYTES: usize = 256;
/// Longest value that stays in a recording whose data sets are replaced, of the few elements whose
/// values say nothing of anybody: a few code strings, numbers or UIDs (PS3.5 §6.2).
pub const RECORDING_KEPT_VALUE_BYTES_MAX: usize = 1024;
/// Time without a byte after which a connection is ended once the recorder is asked to stop, in
/// milliseconds.
pub const RECORDING_QUIET_MS: u64 = 1000;
/// TCP connections of a capture that are followed at once; a capture of a busy network has more, of
/// which the longest silent are forgotten.
pub const CAPTURE_STREAMS_MAX: usize = 4096;
/// Bytes of a capture's TCP connection that wait for bytes before them; when there are more, what is
/// awaited was not captured.
pub const CAPTURE_AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The same over all connections.
pub const CAPTURE_AHEAD_BYTES_ALL_MAX: usize = 64 * 1024 * 1024;
/// IP packets of a capture of which fragments are awaited at once.
pub const CAPTURE_FRAGMENTED_PACKETS_MAX: usize = 1024;
/// Bytes of their fragments: a quarter of what that many longest packets have.
pub const CAPTURE_FRAGMENTED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest packet of a capture: what tcpdump writes at most.
pub const CAPTURE_PACKET_BYTES_MAX: usize = 262_144;
/// Longest block of a capture (pcapng); one with a longest packet and options fits.
pub const CAPTURE_BLOCK_BYTES_MAX: usize = 1024 * 1024;
/// Network interfaces of a capture (pcapng).
pub const CAPTURE_INTERFACES_MAX: usize = 1024;
/// Bytes of a data set that are compared element by element when a recording is played; longer ones
/// are compared by their length and checksum.
pub const REPLAY_COMPARED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Longest recording, and longest replay of one, whose times are kept, in seconds: a week.
pub const REPLAY_REAL_TIME_S_MAX: u64 = 7 * 86_400;
/// UIDs and message IDs that a replay knows by the names that they have this time.
pub const REPLAY_NAMES_MAX: usize = 65_536;
