//! `tenure man`: manual pages, one for each command, made from the same text as `--help`.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::exit::Exit;

/// Flags of `tenure man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Pages that are there are replaced, each at once; nothing else in the folder is touched.

Examples:
  tenure man /usr/local/share/man/man1
  tenure man . && man ./tenure-run.1")]
pub(crate) struct Args {
    /// Folder to write to, which must be there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Writes the pages of `command`, which is the whole program.
pub(crate) fn run(args: Args, command: clap::Command) -> Result<()> {
    let folder = args.folder;
    let shown = folder.display();
    match folder.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Exit::usage(anyhow!("{shown} is no folder: name the one that the pages are to stand in"))),
        Err(error) => {
            let mend = "make it with `mkdir -p`, or name another folder";
            return Err(Exit::usage(anyhow!("cannot write manual pages to {shown}: {error}; {mend}")));
        }
    }
    let pages = pages(command)?;
    for (name, page) in &pages {
        replace(&folder, name, page).with_context(|| format!("cannot write {}", folder.join(name).display()))?;
    }
    say!("tenure: {} manual pages in {shown}", pages.len());
    Ok(())
}

/// Writes a file so that whoever reads it sees all of the old one or all of the new one.
fn replace(folder: &Path, name: &str, text: &[u8]) -> Result<()> {
    let everybody = Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().prefix(".tenure-man-").permissions(everybody).tempfile_in(folder)?;
    file.write_all(text)?;
    file.persist(folder.join(name))?;
    Ok(())
}

/// Each page with the name of its file.
fn pages(command: clap::Command) -> Result<Vec<(String, Vec<u8>)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).replace(' ', "-");
        left.extend(command.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
        pages.push((format!("{name}.1"), page(&name, command)?));
    }
    Ok(pages)
}

fn page(name: &str, command: clap::Command) -> Result<Vec<u8>> {
    let notes = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let (has_parts, has_flags) = (command.has_subcommands(), command.get_arguments().next().is_some());
    let version = concat!("tenure ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).title(name).section("1").source(version).manual("Tenure");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_flags {
        man.render_options_section(&mut page)?;
    }
    if has_parts {
        man.render_subcommands_section(&mut page)?;
    }
    notes_of(&notes.unwrap_or_default()).to_writer(&mut page)?;
    if name != "tenure" {
        let mut see_also = Roff::new();
        see_also.control("SH", ["SEE ALSO"]).text([roman("tenure(1)")]);
        see_also.to_writer(&mut page)?;
    }
    Ok(page)
}

/// What stands below the flags in `--help`, as sections.
fn notes_of(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut section = "";
    for paragraph in text.split("\n\n") {
        let (next, paragraph) = match paragraph.split_once(':') {
            Some(("Examples", rest)) => ("EXAMPLES", rest.trim_start_matches('\n')),
            Some(("Exit codes", rest)) => ("EXIT STATUS", rest.trim_start()),
            // Examples come last, and what stands between them belongs to them.
            _ if section == "EXAMPLES" => (section, paragraph),
            _ => ("NOTES", paragraph),
        };
        if paragraph.is_empty() {
            continue;
        }
        roff.control(if next == section { "PP" } else { "SH" }, Some(next).filter(|next| *next != section));
        section = next;
        // Lines are filled, but for those that are set apart from the margin, as commands are.
        let is_set_apart = |line: &str| line.starts_with("  ");
        let mut lines = paragraph.lines().peekable();
        while let Some(line) = lines.next() {
            if !is_set_apart(line) {
                roff.text([roman(line)]);
                continue;
            }
            roff.control("nf", []).text([roman(line)]);
            while let Some(line) = lines.next_if(|line| is_set_apart(line)) {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        }
    }
    roff
}
