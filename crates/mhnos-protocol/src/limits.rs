//! Every number that bounds something on the wire or behind it, in one place.
//!
//! Beside each bound stands what happens when it is reached. Sizes are bytes unless the name says otherwise.

use std::time::Duration;

/// Largest message of an approved client. A larger one is read to its end, dropped and answered with an error.
/// The published client sends five files of 5 MB at once, about 100 MB of JSON.
pub const MESSAGE_BYTES: usize = 128 << 20;

/// Largest message of a client that still waits for approval. A larger one is dropped and answered with an error.
pub const WAITING_MESSAGE_BYTES: usize = 64 << 10;

/// Messages of a waiting client that are kept, unparsed. Further ones are answered with an error at once.
pub const WAITING_MESSAGES: usize = 64;

/// Bytes of all messages of a waiting client that are kept. Further ones are answered with an error at once.
pub const WAITING_BYTES: usize = 1 << 20;

/// How long a message of a waiting client is kept for an approval. Then it is answered with an error; the connection
/// stays. Shorter than the 30 s after which the published client gives a request up.
pub const WAITING_TIME: Duration = Duration::from_secs(25);

/// What is kept of the beginning of an oversized message, to find its `id`.
pub const OVERSIZED_PREFIX_BYTES: usize = 4 << 10;

/// Connections at once. Further upgrades are refused with 503 until one closes.
pub const CONNECTIONS: usize = 4096;

/// Connections of one web page's origin at once. Further ones are refused with 429 until one closes.
pub const CONNECTIONS_PER_ORIGIN: u32 = 256;

/// Connections of one origin that wait for a person's answer. Further ones are refused with 429.
pub const WAITING_CONNECTIONS_PER_ORIGIN: u32 = 8;

/// Origins that wait for a person's answer at once. Connections of further ones are refused with 429.
pub const WAITING_ORIGINS: usize = 16;

/// Questions put to a person in [`ASK_AGAIN_TIME`]. Beyond it, pages wait without one: they are in `origins pending`.
pub const PROMPTS: usize = 16;

/// A person is not asked about the same page again before this has passed, however often it comes and goes.
pub const ASK_AGAIN_TIME: Duration = Duration::from_secs(60);

/// How long a first denial holds: the page's connections are closed, and nobody is asked about it. Each further one doubles it.
pub const DENIAL_TIME: Duration = Duration::from_secs(10 * 60);

/// The longest a denial holds.
pub const DENIAL_TIME_LONGEST: Duration = Duration::from_secs(24 * 3600);

/// How long a page that was allowed once may be away, to load anew. Then it has to be allowed again.
pub const ONCE_TIME: Duration = Duration::from_secs(60);

/// Programs one origin may start in a row. Beyond it, one in each [`SPAWN_INTERVAL`]; others are refused with an error.
pub const SPAWNS_IN_A_ROW: u32 = 256;

/// See [`SPAWNS_IN_A_ROW`].
pub const SPAWN_INTERVAL: Duration = Duration::from_millis(30);

/// Tickets given out and not used. At the bound the one that ends first is void.
pub const TICKETS: usize = 64;

/// How long a ticket is good that is to be used at once.
pub const TICKET_TIME: Duration = Duration::from_secs(30);

/// How long the ticket is good that is printed when the runtime is started in a terminal.
pub const FIRST_TICKET_TIME: Duration = Duration::from_secs(5 * 60);

/// How long the ticket of a page that is connected is good for its next connection.
pub const RESUME_TICKET_TIME: Duration = Duration::from_secs(24 * 3600);

/// Size at which a file of the audit log is closed and the next one begun.
pub const AUDIT_FILE_BYTES: u64 = 2 << 20;

/// Files of the audit log that are kept, the open one included. The oldest is deleted.
pub const AUDIT_FILES: usize = 5;

/// Refused requests are said in the log one by one up to this many a second; beyond it they are counted.
pub const REFUSALS_LOGGED: u32 = 10;

/// Time for a client to send its upgrade request whole. Then the socket is closed.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Replies and events that wait to be written to one connection. At the bound the connection's requests are no longer
/// read: a client that does not read its replies is not served further ones.
pub const REPLIES_WAITING: usize = 256;

/// Events a connection may lag behind before it is told that it missed some and should list again.
pub const EVENTS_WAITING: usize = 1024;

/// Requests of one connection carried out at once (those that take time: spawn, kill, files). At the bound the
/// connection's requests are no longer read until one is done.
pub const REQUESTS_AT_ONCE: usize = 64;

/// Largest piece of output in one frame. Replies are written between frames, so this bounds their wait.
pub const OUTPUT_FRAME_BYTES: usize = 128 << 10;

/// Largest input in one 2.0 frame. A larger one is refused with an error.
pub const INPUT_FRAME_BYTES: usize = 1 << 20;

/// Input a program has not read yet. At the bound further input is refused with an error until it reads.
pub const INPUT_WAITING_BYTES: usize = 8 << 20;

/// Between two reports of how much input a program was handed.
pub const INPUT_REPORT_INTERVAL: Duration = Duration::from_millis(2);

/// Credit a 2.0 viewer may hold. What is granted beyond is not counted.
pub const VIEWER_CREDIT_BYTES: u64 = 64 << 20;

/// Processes one connection may view at once. A further attach is refused with an error.
pub const VIEWERS_PER_CONNECTION: usize = 256;

/// Output kept in memory per process. Older output goes to its file.
pub const OUTPUT_MEMORY_BYTES: usize = 1 << 20;

/// Output kept in a process's file. Older output is forgotten, and a viewer that asks for it is told of the gap.
pub const OUTPUT_FILE_BYTES: u64 = 16 << 20;

/// How far a program may print ahead of its fastest viewer before it has to wait for it.
pub const OUTPUT_AHEAD_BYTES: u64 = 512 << 10;

/// How long a program waits for viewers of which none makes progress. Then it prints on without them.
pub const STALLED_VIEWER_TIME: Duration = Duration::from_secs(2);

/// How long after a 1.x spawn its sender is not shown anything yet, so that the client's own attach can come before.
pub const ATTACH_TIME: Duration = Duration::from_millis(100);

/// Ended processes that stay attachable. At the bound the one that ended first is forgotten.
pub const ENDED_PROCESSES: usize = 64;

/// How long an ended process stays attachable. Then it is forgotten.
pub const ENDED_TIME: Duration = Duration::from_secs(15 * 60);

/// Time between asking a tree to end and forcing it to, where the request does not say otherwise.
pub const KILL_GRACE: Duration = Duration::from_secs(5);

/// Longest grace a 2.0 kill may ask for; a longer one is cut to it.
pub const KILL_GRACE_LONGEST: Duration = Duration::from_secs(60);

/// Time given to what a program leaves behind when it ends by itself, between asking and forcing.
pub const LEFT_BEHIND_GRACE: Duration = Duration::from_secs(2);

/// Terminal columns and rows that are accepted. Others are refused with an error.
pub const TERMINAL_SIZE: std::ops::RangeInclusive<u16> = 1..=4096;

/// Terminal size until the first resize.
pub const TERMINAL_COLUMNS: u16 = 100;
/// Terminal size until the first resize.
pub const TERMINAL_ROWS: u16 = 30;

/// Bytes of one process's command, arguments and environment. A larger request is refused with an error.
pub const LAUNCH_BYTES: usize = 1 << 20;

/// Longest path the file requests take. A longer one is refused with an error.
pub const PATH_BYTES: usize = 4096;

/// Largest file a 1.x `pull` returns (the published client's own bound). Larger ones are named in `skipped`.
pub const PULL_FILE_BYTES: u64 = 5 << 20;

/// Bytes of all files in one 1.x `pull`. Files beyond are named in `skipped`.
pub const PULL_BYTES: u64 = 24 << 20;

/// Largest file a 2.0 `writeFile` takes. A larger one is refused with an error.
pub const WRITE_FILE_BYTES: u64 = 16 << 30;

/// File transfers open at once on one connection. A further one is refused with an error.
pub const TRANSFERS_PER_CONNECTION: usize = 64;

/// Blocks of one upload that wait to be written. At the bound the connection is no longer read.
pub const UPLOAD_BLOCKS_WAITING: usize = 4;

/// Entries in one `files` message of 2.0; a longer listing comes in several.
pub const LISTING_ENTRIES: usize = 1000;

/// Time every program has to end when the runtime stops. What is left then is forced, so that all of it takes three seconds at most.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(2500);

/// Time to write out what is left when a connection closes. Then it is cut.
pub const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Between two health events.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(2);

/// Lines of the runtime's log kept for those who subscribe to it.
pub const LOG_LINES: usize = 512;

/// Bytes of one block of content in sync. Content up to this size travels whole, of larger content only the blocks that differ.
pub const SYNC_BLOCK_BYTES: u64 = 256 << 10;

/// Sync sessions one connection may have open. A further one is refused with an error.
pub const SYNC_SESSIONS_PER_CONNECTION: usize = 8;

/// Least time between two `syncChanged` events. What changes meanwhile is told in the next.
pub const SYNC_CHANGED_INTERVAL: Duration = Duration::from_millis(100);

/// Largest payload of one frame of a sync session. A larger one ends the session with an error.
pub const SYNC_FRAME_BYTES: usize = (1 << 20) + (64 << 10);

/// Most bytes one `read` of a sync session asks for. One that asks for more ends the session with an error.
pub const SYNC_READ_BYTES: u32 = 1 << 20;

/// Orders the hub leaves unanswered at a replica. It sends no further ones until some are answered.
pub const SYNC_ORDERS: usize = 4096;

/// The window a replica may ask for: content on its way to it. A smaller or larger one is taken as the nearest of these.
pub const SYNC_WINDOW_BYTES: std::ops::RangeInclusive<u64> = (1 << 20)..=(64 << 20);

/// Longest text in a sync record, in bytes of UTF-8. Only a reason can be longer when it is written; it is cut.
pub const SYNC_TEXT_BYTES: usize = u16::MAX as usize;

/// Longest name a replica may give itself in `syncOpen`, in characters. A longer one is refused with an error.
pub const SYNC_NAME_CHARACTERS: usize = 64;

/// Problems named in one `syncStatus`. Further ones are only counted.
pub const SYNC_PROBLEMS_SHOWN: usize = 100;
