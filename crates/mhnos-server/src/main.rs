//! The one binary `mhnos-runtime`: the server, its command line, and the guard that stands between server and program.
//!
//! The server starts each program through this same binary with `guard` as its only visible purpose. That path is
//! taken before anything else happens: a guard must have one thread, no runtime and nothing to parse, because it
//! applies limits and then becomes the program. Everything else is the command line in [`cli`].

mod cli;

fn main() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == "guard") {
        mhnos_process::guard::main();
    }
    std::process::exit(cli::run());
}
