//! `tenure run`: waits for a lease, then runs a command for as long as it holds it.
//!
//! Three processes: this one campaigns and renews; the watchdog below it enforces the deadline; the command is the
//! watchdog's child. Each of the first two stands in for the other: whichever of them is killed or stopped, the command
//! and everything that it started is dead before anybody else can hold the lease, and the lease is free again within
//! milliseconds of that death.

mod args;
mod campaign;
mod config;
mod context;
mod endpoints;
mod events;
mod forwarded_signals;
mod health_check;
mod hooks;
mod lease_handover;
mod lifecycle;
mod nested;
mod not_acquired;
mod notices;
mod notifier;
mod parse;
mod positional_key;
mod protocol;
mod service;
mod store_open;
mod tenure_run;
mod watchdog;
mod watchdog_process;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::FutureExt;
use tenure_supervise::exec_shim::{self, ExecError};
use tenure_supervise::status_file::StatusFile;
use tenure_supervise::{
    SignalMask, Terminal, become_subreaper, check_descriptors, check_executable, service_environment,
};

use crate::exit::{Exit, LOST};
use crate::host_settings;
use crate::logs::Format;
pub(crate) use args::Args;
use config::Config;
use context::RunContext;
use hooks::Hooks;
use lifecycle::{Finish, Lifecycle};
use notifier::Notifier;
pub(crate) use parse::signal_names;
use protocol::SERVICE;
use service::Service;

/// How many files `tenure run` may have open at a time, with some to spare.
const DESCRIPTORS: usize = 32;
/// In effect, as long as this process lives.
const FOREVER: Duration = Duration::from_secs(1 << 32);

/// The arguments of this process, with the key of `tenure run` named by `--lease` where it stands alone.
pub(crate) fn arguments(mut arguments: Vec<OsString>, cli: impl Fn() -> clap::Command) -> Result<Vec<OsString>> {
    if arguments.get(1).is_some_and(|name| name == "run")
        && let Some(definition) = cli().find_subcommand("run")
    {
        let behind = arguments.split_off(2);
        arguments.extend(positional_key::with_key_named(behind, definition)?);
    }
    Ok(arguments)
}

/// Runs the inner process of `tenure run` that this process was started as; `None` where it is none. Called before the
/// command line is parsed, because inner processes start often and their arguments are those of no command.
pub(crate) fn inner() -> Option<Result<ExitCode>> {
    let mut arguments = std::env::args_os().skip(1);
    let name = arguments.next()?;
    if name == watchdog::NAME {
        Some(watchdog::run(arguments))
    } else if name == exec_shim::NAME {
        Some(not_executed(exec_shim::exec(arguments)))
    } else {
        None
    }
}

/// Reports why the command was not executed, unless its parent knows already.
fn not_executed(error: ExecError) -> Result<ExitCode> {
    match error {
        ExecError::ParentDied => Ok(ExitCode::FAILURE),
        ExecError::DeadlinePassed => Ok(ExitCode::from(LOST)),
        ExecError::CannotRun(why) => {
            say!("tenure: {why}");
            Ok(ExitCode::from(why.exit_code))
        }
        ExecError::NotToBeCalled | ExecError::Prepare(_) => Err(error.into()),
    }
}

/// Runs `tenure run`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    SignalMask::unblock_for_renewal().context("cannot unblock signals")?;
    let format = host_settings::log_format(args.log_format)?;
    if format == Format::Json {
        crate::output::set_json(Some(SERVICE));
    }
    let filter = args.log.as_deref().or(args.verbose.then_some("info"));
    if let Some(filter) = host_settings::log(filter)? {
        crate::logs::start(&filter, format, SERVICE);
    } else if format == Format::Json {
        crate::logs::start(crate::warnings::SOURCES, format, SERVICE);
    } else {
        crate::warnings::start();
    }
    // Before anything else is opened: what is open now came from whoever started this process.
    let descriptors = service_environment::listening_descriptors().unwrap_or_else(|error| {
        say!("tenure: {error}: whatever started this process closed it; the command finds the same");
        0..0
    });
    let is_default_store = args.store.is_default();
    let mut config = Config::new(args, descriptors)?;
    config.json = format == Format::Json;
    config.is_nested = nested::check(&config)?;
    if is_default_store && config.speaks_of_hosts() {
        say!(
            "tenure: no store is named, so {} is a lease of this host alone ({}): name the same one on every host, by --store, \
             TENURE_STORE or `store` in /etc/tenure/config.toml; where there is only this host, name that one",
            config.keys.lease(),
            tenure_open::shown(&config.store)
        );
    }
    if let Some(shown) = secret_in_arguments(&config.store) {
        say!("tenure: everybody on this machine can read the password in --store {shown}; use TENURE_STORE instead");
    }
    if let Err(why) = check_executable(&config.command[0]) {
        return not_executed(why.into());
    }
    StatusFile::create().map(drop).map_err(Exit::usage)?;
    #[cfg(not(target_os = "linux"))]
    say!(
        "tenure: this system cannot adopt orphans and its clock may stand still in sleep: what leaves the command's process \
         group outlives it, and a machine that sleeps past a deadline acts late; only the term protects then"
    );
    become_subreaper().context("cannot become a sub-reaper").map_err(Exit::unreachable)?;
    check_descriptors(DESCRIPTORS).map_err(Exit::unreachable)?;
    // Opened before other threads start, because it blocks a signal for this thread and threads inherit the mask.
    let terminal = Terminal::open();
    let hooks = Hooks::new(config.on_lost.clone(), crate::command_store::without_login(&config.store));
    let mut notifier = Notifier::new(hooks, Service::of(&config));
    notifier.set_quiet(config.quiet);
    // A thread for blocking calls is kept once it has started: where no other can be started, calls wait for this one.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(FOREVER).build()?;
    let context = runtime.block_on(RunContext::start(config, terminal).boxed_local())?;
    let work = async {
        let finish = Lifecycle::run(&context, &mut notifier).await;
        notifier.finish().await;
        finish
    };
    // Boxed without its type: else the runtime is compiled anew for it, twice.
    let finish = runtime.block_on(work.boxed_local());
    // A store call that still blocks a thread must not keep this process alive.
    runtime.shutdown_timeout(Duration::from_millis(100));
    let end = match finish? {
        Finish::Done(end) => end,
        Finish::KeepLease { end, handover, .. } => {
            // Nobody renews any more, and the lease was not released: the watchdog settles it as if this process had
            // died.
            handover.wait_until_settled(&context.standby);
            end
        }
    };
    Ok(end.take())
}

/// The store's URL as it may be shown, if it holds a secret and was given as an argument.
fn secret_in_arguments(url: &str) -> Option<String> {
    let shown = tenure_open::shown(url);
    let given = || std::env::args_os().any(|argument| argument.to_string_lossy().ends_with(url));
    (shown != url && given()).then_some(shown)
}
