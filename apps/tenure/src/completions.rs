//! `tenure completions`: completion scripts for shells.

use anyhow::Result;
use clap_complete::Shell;

use crate::output;

/// Flags of `tenure completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tenure completions bash > /etc/bash_completion.d/tenure
  tenure completions zsh > \"${fpath[1]}/_tenure\"
  tenure completions fish > ~/.config/fish/completions/tenure.fish
  tenure completions elvish >> ~/.config/elvish/rc.elv
  tenure completions powershell >> $PROFILE
  source <(tenure completions bash)                      for this shell only")]
pub(crate) struct Args {
    /// Shell to write for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the script for `command`, which is the whole program.
pub(crate) fn run(args: Args, mut command: clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "tenure", &mut script);
    Ok(output::line(String::from_utf8_lossy(&script).trim_end())?)
}
