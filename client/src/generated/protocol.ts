// Generated from crates/mhnos-protocol by `cargo xtask generate`. Do not edit.

/** The WebSocket subprotocol that selects 2.0. */
export const SUBPROTOCOL = "mhnos.v2";

/** A page of the runtime itself offers this with its ticket behind it, beside SUBPROTOCOL. */
export const TICKET_SUBPROTOCOL = "mhnos.ticket.";

/** Bytes before the payload of a binary frame. */
export const FRAME_HEADER_BYTES = 16;

/** Largest input in one binary frame. */
export const INPUT_FRAME_BYTES = 1048576;

/** Bytes of one block of content in sync. */
export const SYNC_BLOCK_BYTES = 262144;

/** Largest payload of one frame of a sync session. */
export const SYNC_FRAME_BYTES = 1114112;

/** Most bytes one `read` of a sync session asks for. */
export const SYNC_READ_BYTES = 1048576;

/**
 * Correlates a request with its reply. The reply repeats what the request carried, text or number alike.
 */
export type RequestId = string | number;

/**
 * The kinds of program the runtime starts, under the names both protocols use.
 */
export type ProcessKind = "node" | "python" | "workerd" | "shell" | "openclaw";

/**
 * Counts of processes since the runtime started.
 */
export type ProcessCounts = { 
/**
 * Started since the runtime began.
 */
totalSpawned: number, 
/**
 * Of these, ended because somebody asked for it (or a limit did).
 */
totalKilled: number, 
/**
 * Running now.
 */
active: number, };

/**
 * What a 2.0 client can ask for. Each carries an `id`, repeated in the reply, except where noted.
 */
export type Request = { "type": "spawn" } & Spawn | { "type": "attach", 
/**
 * The process.
 */
pid: number, 
/**
 * Offset of the first byte wanted; absent: the first one still held.
 */
from?: number, 
/**
 * Bytes the runtime may send before it is granted more.
 */
credit: number, } | { "type": "detach", 
/**
 * The process.
 */
pid: number, } | { "type": "credit", 
/**
 * The process.
 */
pid: number, 
/**
 * Bytes, added to what is left.
 */
bytes: number, } | { "type": "creditFile", 
/**
 * The id of the `readFile`.
 */
transfer: number, 
/**
 * Bytes, added to what is left.
 */
bytes: number, } | { "type": "resize", 
/**
 * The process.
 */
pid: number, 
/**
 * Columns of characters.
 */
cols: number, 
/**
 * Rows of characters.
 */
rows: number, } | { "type": "closeInput", 
/**
 * The process.
 */
pid: number, } | { "type": "kill", 
/**
 * The process.
 */
pid: number, 
/**
 * Name of the signal; absent: `SIGTERM`.
 */
signal?: string, 
/**
 * Milliseconds until what is left is forced; absent: 5 s.
 */
grace?: number, } | { "type": "restart", 
/**
 * The process.
 */
pid: number, } | { "type": "list" } | { "type": "status" } | { "type": "ping" } | { "type": "subscribe", 
/**
 * What to be told of.
 */
topics: Array<Topic>, } | { "type": "origins" } | { "type": "allowOrigin", 
/**
 * `http://host:port`.
 */
origin: string, 
/**
 * What it may do; absent: all.
 */
access?: Access, 
/**
 * Only for as long as it stays connected, and a minute to come back; absent: from now on.
 */
once?: boolean, } | { "type": "denyOrigin", 
/**
 * `http://host:port`.
 */
origin: string, } | { "type": "revokeOrigin", 
/**
 * `http://host:port`.
 */
origin: string, } | { "type": "ticket", 
/**
 * Of the page that will show it; absent: the page the runtime itself serves.
 */
origin?: string, 
/**
 * For the next connection of a page that is connected: good for a day in place of half a minute.
 */
resume?: boolean, } | { "type": "audit", 
/**
 * How many, at most 1,000.
 */
tail: number, } | { "type": "log", 
/**
 * How many, at most 5,000.
 */
tail: number, } | { "type": "doctor" } | { "type": "listFiles", 
/**
 * A path of the workspace; absent: all of it.
 */
path?: string, } | { "type": "readFile", 
/**
 * A path of the workspace.
 */
path: string, 
/**
 * Bytes the runtime may send before it is granted more.
 */
credit: number, } | { "type": "writeFile", 
/**
 * A path of the workspace.
 */
path: string, 
/**
 * Length of the whole file.
 */
size: number, 
/**
 * Milliseconds since 1970; absent: now.
 */
mtime?: number, 
/**
 * Whether it may be executed; absent: as the file it replaces.
 */
executable?: boolean, } | { "type": "makeDirectory", 
/**
 * A path of the workspace.
 */
path: string, } | { "type": "cancel", 
/**
 * Its id.
 */
transfer: number, } | { "type": "syncOpen", 
/**
 * The replica's 32 hexadecimal digits, chosen at random once.
 */
replica: string, 
/**
 * What it calls itself: part of the names of conflict copies, and shown to people.
 */
name: string, 
/**
 * The last it was told; 0 at first.
 */
sequence: number, 
/**
 * Digest of what it told last, in 64 hexadecimal digits; all zero at first.
 */
digest: string, 
/**
 * Bytes of content the runtime may have on their way to it.
 */
window: number, } | { "type": "syncStatus" } | { "type": "syncConflicts" } | { "type": "syncResolve", 
/**
 * The path of the conflict copy.
 */
path: string, 
/**
 * Which version is kept.
 */
keep: Keep, } | { "type": "syncVersions", 
/**
 * Of this file, or the files in this folder; absent: all.
 */
path?: string, } | { "type": "syncRestore", 
/**
 * Its id.
 */
version: number, 
/**
 * Where to; absent: where it was.
 */
path?: string, } | { "type": "syncPause" } | { "type": "syncResume" } | { "type": "syncRescan" } | { "type": "syncConfirm", 
/**
 * What to do.
 */
halt: HaltAnswer, 
/**
 * Of one replica, by its key; absent: all that are halted.
 */
replica?: string, };

/**
 * Fields of [`Request::Spawn`].
 */
export type Spawn = { 
/**
 * Which kind of program runs it.
 */
kind: ProcessKind, 
/**
 * Script, configuration or shell; a path of the workspace, or an option such as `-e`.
 */
command?: string, 
/**
 * Arguments behind the command.
 */
args?: Array<string>, 
/**
 * Working directory, a path of the workspace.
 */
cwd?: string, 
/**
 * Environment variables beside the runtime's own few.
 */
env?: { [key in string]: string }, 
/**
 * Milliseconds after which the program is ended; absent: never.
 */
timeout?: number, 
/**
 * Run in a terminal of this size; absent: pipes, except for `shell`, which always has one.
 */
terminal?: TerminalSize, 
/**
 * Attach to it from its first byte, with this credit; absent: do not attach.
 */
credit?: number, };

/**
 * Size of a terminal in characters.
 */
export type TerminalSize = { 
/**
 * Columns.
 */
cols: number, 
/**
 * Rows.
 */
rows: number, };

/**
 * What [`Request::Subscribe`] can be about.
 */
export type Topic = "processes" | "ports" | "health" | "log" | "origins" | "sync";

/** A request with the id its reply repeats. */
export type Message = { id?: RequestId } & Request;

/**
 * What the runtime sends a 2.0 client as text.
 */
export type Reply = { "type": "welcome", 
/**
 * [`PROTOCOL_VERSION`].
 */
protocol: string, 
/**
 * Version of the runtime.
 */
version: string, 
/**
 * Changes when the runtime starts anew: pids and offsets of another instance mean nothing.
 */
instance: string, 
/**
 * The workspace's path on the host.
 */
workspace: string, } | { "type": "spawned", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Its number from now on.
 */
pid: number, } | { "type": "attached", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * The process.
 */
pid: number, 
/**
 * Offset of the first byte that comes.
 */
from: number, 
/**
 * Offset behind the last byte there is so far.
 */
to: number, 
/**
 * Bytes that were asked for and are no longer held: `from` less what was asked for.
 */
gap: number, } | { "type": "gap", 
/**
 * The process.
 */
pid: number, 
/**
 * Offset of the first byte that is missing.
 */
from: number, 
/**
 * Offset of the next byte that comes.
 */
to: number, } | { "type": "inputAccepted", 
/**
 * The process.
 */
pid: number, 
/**
 * Bytes of input it has been handed so far, from all clients.
 */
to: number, } | { "type": "exit", 
/**
 * The process.
 */
pid: number, 
/**
 * Length of its output.
 */
to: number, 
/**
 * How it ended.
 */
exit: Exit, } | { "type": "killed", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * The process.
 */
pid: number, 
/**
 * Programs of the tree that were there when the signal was sent.
 */
signalled: Array<Member>, 
/**
 * Of these, the ones that had to be forced with SIGKILL.
 */
forced: Array<Member>, 
/**
 * Of these, the ones that live on (uninterruptible, or not ours to end).
 */
survived: Array<Member>, } | { "type": "done", 
/**
 * Of the request.
 */
id: RequestId | null, } | { "type": "processes", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Oldest first.
 */
processes: Array<Process>, 
/**
 * Counts.
 */
counts: ProcessCounts, } | { "type": "origins", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * In order of their names.
 */
origins: Array<KnownOrigin>, } | { "type": "ticket", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * 64 hexadecimal digits.
 */
ticket: string, 
/**
 * The address of the runtime's own page, with the ticket in its fragment.
 */
url: string, 
/**
 * Seconds for which it is good.
 */
lifetime: number, } | { "type": "audit", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Oldest first.
 */
entries: Array<AuditEntry>, } | { "type": "log", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Oldest first.
 */
lines: Array<LogLine>, } | { "type": "doctor", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Whether nothing failed.
 */
healthy: boolean, 
/**
 * What was looked at.
 */
checks: Array<DoctorCheck>, } | { "type": "status", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * What holds.
 */
status: Status, } | { "type": "pong", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Milliseconds since 1970.
 */
time: number, } | { "type": "files", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Folders before what is in them.
 */
entries: Array<FileEntry>, 
/**
 * What was left out, and why.
 */
skipped: Array<SkippedFile>, 
/**
 * Whether further messages follow.
 */
more: boolean, } | { "type": "file", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Length of the file: so many bytes follow.
 */
size: number, 
/**
 * Milliseconds since 1970.
 */
mtime: number, 
/**
 * Whether it may be executed.
 */
executable: boolean, } | { "type": "syncOpened", 
/**
 * Of the request, and the channel of its frames.
 */
id: RequestId | null, 
/**
 * Changes when the runtime begins a new index: what was agreed on before is then forgotten.
 */
epoch: string, 
/**
 * Where the runtime is with this replica.
 */
sequence: number, 
/**
 * Whether the replica has to observe everything and send it whole.
 */
full: boolean, 
/**
 * Names of folders and files that need not be looked at.
 */
ignored: Array<string>, } | { "type": "syncStatus", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * How.
 */
status: SyncStatus, } | { "type": "syncConflicts", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * In order of their paths.
 */
conflicts: Array<Conflict>, } | { "type": "syncVersions", 
/**
 * Of the request.
 */
id: RequestId | null, 
/**
 * Newest first.
 */
versions: Array<Version>, } | { "type": "event", 
/**
 * What.
 */
event: Event, } | { "type": "error", 
/**
 * Of the request, where it could be read.
 */
id: RequestId | null, 
/**
 * For programs.
 */
code: ErrorCode, 
/**
 * For people: what happened and what to do next.
 */
error: string, };

/**
 * How a process ended.
 */
export type Exit = { 
/**
 * Its exit code, if it ended by itself.
 */
code: number | null, 
/**
 * The signal that ended it.
 */
signal: Signal | null, 
/**
 * Why the runtime ended it, if it did: asked for, time limit, memory limit, shutdown.
 */
reason: string | null, 
/**
 * Milliseconds it ran.
 */
runtime: number, 
/**
 * Whether its output was read to its end. If not, something held it open that could not be ended.
 */
drained: boolean, 
/**
 * What the program left running when it ended, and was then ended by the runtime.
 */
leftBehind: Array<Member>, 
/**
 * What could not be ended.
 */
survived: Array<Member>, };

/**
 * A signal by number and name.
 */
export type Signal = { 
/**
 * Its number on the runtime's system.
 */
number: number, 
/**
 * Its name, such as `SIGTERM`.
 */
name: string, };

/**
 * One program of a process's tree.
 */
export type Member = { 
/**
 * The operating system's number.
 */
osPid: number, 
/**
 * Its name.
 */
name: string, };

/**
 * One process as `processes` and events show it.
 */
export type Process = { 
/**
 * The runtime's number.
 */
pid: number, 
/**
 * Its kind.
 */
kind: ProcessKind, 
/**
 * As it was asked for.
 */
command: string, 
/**
 * As they were asked for.
 */
args: Array<string>, 
/**
 * Its working directory on the host.
 */
cwd: string, 
/**
 * The origin that started it; absent: a local program with the token.
 */
origin: string | null, 
/**
 * Milliseconds since 1970.
 */
started: number, 
/**
 * The operating system's number.
 */
osPid: number, 
/**
 * Whether it has a terminal.
 */
terminal: boolean, 
/**
 * Offset behind its last byte of output so far.
 */
output: number, 
/**
 * Percent of one core, over the last seconds, of the whole tree.
 */
cpu: number, 
/**
 * Bytes resident, of the whole tree.
 */
memory: number, 
/**
 * Programs in the tree.
 */
members: number, 
/**
 * Ports the tree listens on.
 */
ports: Array<number>, 
/**
 * How it ended; absent while it runs.
 */
exit: Exit | null, };

/**
 * What `status` says.
 */
export type Status = { 
/**
 * Version of the runtime.
 */
version: string, 
/**
 * Its process on the host.
 */
osPid: number, 
/**
 * Seconds since it began to listen.
 */
uptime: number, 
/**
 * Addresses it listens on.
 */
addresses: Array<string>, 
/**
 * The workspace's path on the host.
 */
workspace: string, 
/**
 * The sandbox that was asked for: `strict`, `relaxed` or `none`.
 */
sandbox: string, 
/**
 * The sandbox that programs really run in.
 */
sandboxAchieved: string, 
/**
 * Whether OpenClaw may be started.
 */
allowOpenclaw: boolean, 
/**
 * How many processes may run at once.
 */
maxProcesses: number, 
/**
 * Bytes of memory one process's tree may use.
 */
maxMemory: number, 
/**
 * Open connections.
 */
connections: number, 
/**
 * Counts.
 */
counts: ProcessCounts, };

/**
 * A line of the audit log.
 */
export type AuditEntry = { 
/**
 * Counts from 1, and goes on through restarts.
 */
number: number, 
/**
 * Milliseconds since 1970.
 */
time: number, 
/**
 * What happened, in words.
 */
text: string, };

/**
 * A line of the runtime's own log.
 */
export type LogLine = { 
/**
 * `error`, `warn`, `info`, `debug` or `trace`.
 */
level: string, 
/**
 * Milliseconds since 1970.
 */
time: number, 
/**
 * The line.
 */
message: string, };

/**
 * What one check of `doctor` found.
 */
export type DoctorCheck = { 
/**
 * What was looked at.
 */
name: string, 
/**
 * `ok`, `warn` (something will not work, but the runtime does) or `fail` (the runtime does not work).
 */
status: string, 
/**
 * What is the case.
 */
found: string, 
/**
 * What to do about it.
 */
advice?: string, 
/**
 * Where the program is, where one was looked for.
 */
path?: string, 
/**
 * Its version.
 */
version?: string, };

/**
 * A web page the runtime knows.
 */
export type KnownOrigin = { 
/**
 * `http://host:port`.
 */
origin: string, 
/**
 * Whether it may use the runtime.
 */
state: OriginState, 
/**
 * What it may do; `null`: nothing.
 */
access: Access | null, 
/**
 * When it was allowed, or began to wait, in milliseconds since 1970.
 */
since: number | null, 
/**
 * When a denial ends, in milliseconds since 1970.
 */
until: number | null, 
/**
 * Open connections, those that wait included.
 */
connections: number, };

/**
 * Where a web page stands.
 */
export type OriginState = "allowed" | "allowedOnce" | "allowedBySettings" | "waiting" | "denied" | "unknown";

/**
 * What a web page may do.
 */
export type Access = "files" | "full";

/**
 * A file or folder of the workspace.
 */
export type FileEntry = { 
/**
 * Path from the workspace's root, with `/` between names and none in front.
 */
path: string, 
/**
 * What it is.
 */
kind: "file" | "directory", 
/**
 * Length in bytes; 0 for a folder.
 */
size: number, 
/**
 * Milliseconds since 1970.
 */
mtime: number, 
/**
 * Whether it may be executed.
 */
executable: boolean, };

/**
 * A file that was left out.
 */
export type SkippedFile = { 
/**
 * Path from the workspace's root.
 */
path: string, 
/**
 * Why.
 */
reason: string, };

/**
 * What `syncStatus` says, and `syncChanged` tells.
 */
export type SyncStatus = { 
/**
 * Whether a person paused it.
 */
paused: boolean, 
/**
 * Why nothing is done with any replica until a person decides, if that is so.
 */
halted: string | null, 
/**
 * Those that are connected or were.
 */
replicas: Array<SyncReplica>, 
/**
 * How many conflicts wait for a person.
 */
conflicts: number, 
/**
 * Files of the host that cannot be synced, the first of them.
 */
problems: Array<SkippedFile>, 
/**
 * How many there are in all.
 */
problemCount: number, };

/**
 * A replica of the workspace.
 */
export type SyncReplica = { 
/**
 * Its 32 hexadecimal digits.
 */
key: string, 
/**
 * What it calls itself.
 */
name: string, 
/**
 * The page it belongs to; absent: a local program.
 */
origin: string | null, 
/**
 * Whether it has a session now.
 */
connected: boolean, 
/**
 * What is being done.
 */
phase: SyncPhase, 
/**
 * Why nothing is done with it until a person decides, if that is so.
 */
halted: string | null, 
/**
 * Files and folders in which it differs from the host, as far as is known.
 */
filesToGo: number, 
/**
 * Bytes of content that have yet to be moved for them.
 */
bytesToGo: number, 
/**
 * When both were equal last, in milliseconds since 1970; absent: never.
 */
lastSynced: number | null, 
/**
 * Its files that cannot be synced, the first of them.
 */
problems: Array<SkippedFile>, 
/**
 * How many there are in all.
 */
problemCount: number, };

/**
 * What is being done with a replica.
 */
export type SyncPhase = "away" | "observing" | "syncing" | "synced" | "paused" | "halted";

/**
 * A file that was changed on both sides.
 */
export type Conflict = { 
/**
 * The path that was changed on both sides.
 */
path: string, 
/**
 * Where the version is that did not keep the name.
 */
copy: string, 
/**
 * The name of the replica.
 */
replica: string, 
/**
 * When it was seen, in milliseconds since 1970.
 */
time: number, };

/**
 * Which version a person keeps of a conflict.
 */
export type Keep = "name" | "copy" | "both";

/**
 * What a person decides about a halt.
 */
export type HaltAnswer = "confirm" | "restore";

/**
 * An earlier content of a file that was replaced or removed.
 */
export type Version = { 
/**
 * For `syncRestore`.
 */
id: number, 
/**
 * Where it was.
 */
path: string, 
/**
 * Bytes.
 */
size: number, 
/**
 * When it was displaced, in milliseconds since 1970.
 */
time: number, 
/**
 * Why; a few words for a person.
 */
reason: string, };

/**
 * Something that happened.
 */
export type Event = { "kind": "processStarted", 
/**
 * The process.
 */
process: Process, } | { "kind": "processChanged", 
/**
 * The process.
 */
pid: number, 
/**
 * Percent of one core.
 */
cpu: number, 
/**
 * Bytes resident.
 */
memory: number, 
/**
 * Programs in its tree.
 */
members: number, } | { "kind": "processEnded", 
/**
 * The process.
 */
process: Process, } | { "kind": "portOpened", 
/**
 * The process.
 */
pid: number, 
/**
 * The port.
 */
port: number, } | { "kind": "portClosed", 
/**
 * The process.
 */
pid: number, 
/**
 * The port.
 */
port: number, } | { "kind": "health", 
/**
 * Seconds since it began to listen.
 */
uptime: number, 
/**
 * Bytes the runtime itself holds resident.
 */
memory: number, 
/**
 * Open connections.
 */
connections: number, 
/**
 * Counts of processes.
 */
counts: ProcessCounts, } | { "kind": "originAsked", 
/**
 * The page.
 */
origin: KnownOrigin, } | { "kind": "originChanged", 
/**
 * The page as it stands now.
 */
origin: KnownOrigin, } | { "kind": "log", 
/**
 * `error`, `warn`, `info`, `debug` or `trace`.
 */
level: string, 
/**
 * Milliseconds since 1970.
 */
time: number, 
/**
 * The line.
 */
message: string, } | { "kind": "syncChanged", 
/**
 * How it stands now.
 */
status: SyncStatus, } | { "kind": "missed", 
/**
 * How many.
 */
events: number, };

/**
 * Why a request failed, for programs. Closed: a client may match on all of them.
 */
export type ErrorCode = "malformed" | "notAllowed" | "forbidden" | "notFound" | "ended" | "notInstalled" | "failed" | "limit";
