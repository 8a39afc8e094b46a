use std::path::Path;
use std::process::Command;

use super::program::{run, Recipe};

/// Needs the go tool.
pub const RECIPE: Recipe = Recipe { file: "echo.go", source: include_str!("../../peers/echo.go"), build, command };

const NAME: &str = "go_echo";

fn build(folder: &Path) -> anyhow::Result<()> {
    // Without C, which net would look names up with, and without fetching another toolchain than the one that is there.
    let mut go = Command::new("go");
    go.current_dir(folder).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
    run(go.args(["build", "-o", NAME, RECIPE.file]))
}

/// One processor is all that a server has here; more would be threads that take turns on it.
fn command(folder: &Path) -> Command {
    let mut command = Command::new(folder.join(NAME));
    command.env("GOMAXPROCS", "1");
    command
}
