//! The fault arm: every store against its real server, one trial each.

fn main() -> std::process::ExitCode {
    tenure_fault_arm::main()
}
