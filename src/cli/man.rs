//! `stillframe man`: the manual page.
//!
//! Owns the order of the page: the program first, then every command. Never knows a flag: the parser tells.

use std::io::Write;

use super::{exit, say};

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints roff to stdout (`stillframe man | man -l -`); returns the exit code.
pub fn run(command: clap::Command, _args: Args) -> u8 {
    match page(command) {
        Ok(page) => {
            say::bytes(&page);
            exit::DONE
        }
        Err(error) => {
            say::complain(error);
            exit::FAULT
        }
    }
}

/// One page: title, name, synopsis and options of the program, then a section a command.
fn page(mut command: clap::Command) -> std::io::Result<Vec<u8>> {
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_options_section(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(
            page,
            ".SH \"{} {}\"\n{about}",
            command.get_name().to_uppercase(),
            sub.get_name().to_uppercase()
        )?;
        let man = clap_mangen::Man::new(sub.clone());
        man.render_synopsis_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    writeln!(
        page,
        ".SH \"EXIT STATUS\"\n0 all that was asked, 2 some pictures are missing, 1 none or a fault, 64 wrong usage, \
         78 wrong configuration."
    )?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_visible_command() {
        let command = clap::Command::new("stillframe")
            .subcommand(clap::Command::new("grab").about("Take pictures"))
            .subcommand(clap::Command::new("worker").hide(true));
        let page = String::from_utf8(page(command).unwrap()).unwrap();
        assert!(page.contains("STILLFRAME GRAB"), "{page}");
        assert!(page.contains("Take pictures"), "{page}");
        assert!(!page.contains("WORKER"), "{page}");
    }
}
