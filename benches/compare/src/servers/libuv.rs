use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{bail, ensure, Context};
use tempfile::TempDir;

use super::Settings;

const SOURCE: &str = include_str!("../../peers/libuv_echo.c");

const NAME: &str = "libuv_echo";

/// The server in C, built here and deleted when dropped.
///
/// Built when it is asked for and not with this crate, which so needs neither C nor libuv.
pub struct Program {
    folder: TempDir,
}

impl Program {
    /// # Errors
    /// Where there is no C compiler, or no libuv with its headers.
    pub fn build() -> anyhow::Result<Program> {
        let program = Program { folder: TempDir::new().context("making a folder to build it in")? };
        let folder = program.folder.path();
        fs::write(folder.join("libuv_echo.c"), SOURCE).context("writing its source")?;
        let mut compiler = Command::new("cc");
        compiler.current_dir(folder).args(["-O2", "-o", NAME, "libuv_echo.c"]).args(flags());
        let output = compiler.output().context("running the C compiler, cc")?;
        if !output.status.success() {
            bail!("cc: {}", complaint(&String::from_utf8_lossy(&output.stderr)));
        }
        Ok(program)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }
}

/// Becomes the program, so that the process that was started, pinned and measured is the server's own.
pub fn exec(settings: &Settings) -> anyhow::Result<()> {
    let program = settings.program.as_ref().context("libuv needs --program")?;
    let error = Command::new(program).arg(settings.buffer.to_string()).exec();
    Err(error).with_context(|| format!("running {}", program.display()))
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

/// The line of a compiler's output that says what is wrong.
fn complaint(output: &str) -> &str {
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.clone().next().unwrap_or("failed without a word");
    lines.find(|line| line.contains("error") || line.contains("cannot find")).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_what_is_wrong_is_found() {
        let no_header = "a.c:9:10: fatal error: uv.h: No such file\n    9 | #include <uv.h>\ncompilation terminated.\n";
        assert_eq!(complaint(no_header), "a.c:9:10: fatal error: uv.h: No such file");
        let no_library = "/usr/bin/ld: cannot find -luv\ncollect2: error: ld returned 1 exit status\n";
        assert_eq!(complaint(no_library), "/usr/bin/ld: cannot find -luv");
        assert_eq!(complaint("\nsomething else\n"), "something else");
        assert_eq!(complaint(""), "failed without a word");
    }
}
