//! `nacre completions` and `nacre man`, from the declaration that the help is made of.

use std::{fs, io, path::PathBuf, process::ExitCode};

use clap::{Args, Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::generate_to;

use crate::output::conclude;

/// Print what a shell completes; see the shell's manual for where to put it.
///
/// Such as `nacre completions bash > ~/.local/share/bash-completion/completions/nacre`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// Write a manual page of each command into a directory.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The directory, which is made
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs `completions`.
pub(crate) fn run_completions<C: CommandFactory>(arguments: &CompletionsArguments) -> ExitCode {
    let mut script = Vec::new();
    generate(arguments.shell, &mut C::command(), "nacre", &mut script);
    conclude("completions", io::Write::write_all(&mut io::stdout().lock(), &script))
}

/// Runs `man`.
pub(crate) fn run_man<C: CommandFactory>(arguments: &ManArguments) -> ExitCode {
    // By the name of the program, not of its package.
    conclude("man", pages(C::command().name("nacre"), arguments))
}

fn pages(command: Command, arguments: &ManArguments) -> io::Result<()> {
    fs::create_dir_all(&arguments.directory)?;
    generate_to(command, &arguments.directory)
}
