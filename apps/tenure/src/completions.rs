//! `tenure completions`: completion scripts for shells.

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Arg, ValueHint};
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
  source <(tenure completions bash)        # for this shell only")]
pub(crate) struct Args {
    /// Shell to write for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// What the generated script for bash does not do: `--flag=VALUE`, the command behind `--`, URLs that go on behind their scheme.
const BASH: &str = include_str!("completions.bash");

/// What zsh does with URLs: nothing is put behind their scheme but what the user types, or a file's name.
const ZSH_URLS: &str = "
_tenure_urls() {
    compadd -S '' \"$@\" || { compset -P '*:' && _files }
}
";

/// Words without a flag, which the generated script for fish does not have.
const FISH: &str =
    "complete -c tenure -n '__fish_tenure_using_subcommand completions' -f -a 'bash elvish fish powershell zsh'\n";

/// Prints the script for `command`, which is the whole program.
pub(crate) fn run(args: Args, command: clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut with_words(command), "tenure", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    match args.shell {
        Shell::Bash => script.push_str(BASH),
        Shell::Zsh => script = zsh_with_urls(&script),
        Shell::Fish => script.push_str(FISH),
        _ => {}
    }
    Ok(output::line(script.trim_end())?)
}

/// The script for zsh, where lists of URLs' beginnings are completed by [`ZSH_URLS`].
fn zsh_with_urls(script: &str) -> String {
    let mut whole = script.to_owned();
    for flag in URLS {
        // As the generator writes them.
        let words = words(flag).join(" ").replace(':', "\\:");
        whole = whole.replace(&format!("({words})"), &format!("_tenure_urls {words}"));
    }
    match whole.split_once('\n') {
        Some((first, rest)) => format!("{first}\n{ZSH_URLS}{rest}"),
        None => whole,
    }
}

/// The command with the words that values may be, also where a value is more than one of some words and is parsed as something else.
fn with_words(command: clap::Command) -> clap::Command {
    command.mut_args(with_words_of).mut_subcommands(with_words)
}

fn with_words_of(arg: Arg) -> Arg {
    let takes_values = arg.get_action().takes_values();
    let words = arg.get_long().map(words).unwrap_or_default();
    if takes_values && !words.is_empty() && arg.get_possible_values().is_empty() {
        return arg.value_parser(PossibleValuesParser::new(words));
    }
    let hint = match arg.get_value_names().unwrap_or_default() {
        [name] if takes_values => match name.as_str() {
            "FILE" => ValueHint::FilePath,
            "DIR" => ValueHint::DirPath,
            "CMD" if arg.is_trailing_var_arg_set() => ValueHint::CommandWithArguments,
            "CMD" | "LINE" => ValueHint::CommandString,
            // Names that only the user knows: no file's name is offered in their place.
            "KEY" | "NAME" | "DURATION" | "N" | "TEXT" | "ADDR" | "PREFIX" => ValueHint::Other,
            _ => return arg,
        },
        _ => return arg,
    };
    arg.value_hint(hint)
}

/// The flags whose words are beginnings of URLs.
const URLS: [&str; 3] = ["store", "bus", "irc-url"];

/// The words that may begin the value of a flag, whichever command has it.
fn words(flag: &str) -> Vec<&'static str> {
    match flag {
        "stop-signal" => crate::run::signal_names().collect(),
        "store" => {
            tenure_open::schemes().iter().filter(|scheme| scheme.compiled).map(|s| beginning(s.example)).collect()
        }
        "bus" => {
            tenure_bus_open::schemes().iter().filter(|scheme| scheme.compiled).map(|s| beginning(s.shape)).collect()
        }
        "log" => vec!["error", "warn", "info", "debug", "trace", "off"],
        "log-format" => vec!["auto", "json", "text"],
        "standby" => vec!["warm", "cold"],
        "ready" => vec!["all", "possible"],
        "from" => vec!["start", "end"],
        "irc-url" => vec!["ircs://", "irc://", "wss://", "ws://"],
        "type" => vec![
            "external.chat.message.v1",
            "external.chat.notice.v1",
            "external.chat.moderation.v1",
            "external.chat.room.v1",
            "external.chat.gap.v1",
        ],
        _ => Vec::new(),
    }
}

/// What every URL of this form begins with: the rest is the user's to say.
fn beginning(form: &'static str) -> &'static str {
    form.split(|c: char| c.is_ascii_uppercase() || c == '[').next().unwrap_or(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixed beginning of a URL is offered, and nothing that stands for something else.
    #[test]
    fn urls_are_offered_up_to_what_only_the_user_knows() {
        assert_eq!(beginning("redis://HOST:PORT/DB"), "redis://");
        assert_eq!(beginning("sqlite:PATH"), "sqlite:");
        assert_eq!(beginning("stdout:"), "stdout:");
    }
}
