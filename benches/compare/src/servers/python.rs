use std::path::Path;
use std::process::Command;

use super::program::{run, Recipe};

/// Needs python3.
pub const RECIPE: Recipe = Recipe { file: "echo.py", source: include_str!("../../peers/echo.py"), build, command };

/// Compiles it for nothing but to see that there is a python3 that takes it.
fn build(folder: &Path) -> anyhow::Result<()> {
    run(Command::new("python3").current_dir(folder).args(["-m", "py_compile", RECIPE.file]))
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new("python3");
    command.arg(folder.join(RECIPE.file));
    command
}
