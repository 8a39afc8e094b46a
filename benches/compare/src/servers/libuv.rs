use std::path::Path;
use std::process::Command;

use anyhow::ensure;

use super::program::{run, Recipe};

/// Needs a C compiler, and libuv with its headers.
pub const RECIPE: Recipe =
    Recipe { file: "libuv_echo.c", source: include_str!("../../peers/libuv_echo.c"), build, command };

const NAME: &str = "libuv_echo";

fn build(folder: &Path) -> anyhow::Result<()> {
    run(Command::new("cc").current_dir(folder).args(["-O2", "-o", NAME, RECIPE.file]).args(flags()))
}

fn command(folder: &Path) -> Command {
    Command::new(folder.join(NAME))
}

/// From pkg-config where it knows libuv; else what suits a library in a usual place.
fn flags() -> Vec<String> {
    let known = || -> anyhow::Result<Vec<String>> {
        let output = Command::new("pkg-config").args(["--cflags", "--libs", "libuv"]).output()?;
        ensure!(output.status.success(), "pkg-config does not know libuv");
        Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
    };
    known().unwrap_or_else(|_| vec!["-luv".to_owned()])
}
