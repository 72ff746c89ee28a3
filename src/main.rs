//! The binary: hands the command line over and maps its result to an exit code.

fn main() -> std::process::ExitCode {
    stillframe::cli::main()
}
