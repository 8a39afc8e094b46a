use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context};
use tempfile::TempDir;

use super::{Kind, Settings};

/// How a server in another language comes to be, and how it is started.
pub struct Recipe {
    /// The name of its only file.
    pub file: &'static str,
    pub source: &'static str,
    /// Makes it, in a folder that has the file.
    pub build: fn(folder: &Path) -> anyhow::Result<()>,
    /// Starts what has been made in that folder; the size of its buffer is yet to be added.
    pub command: fn(folder: &Path) -> Command,
}

/// A server in another language, built here and deleted when dropped.
///
/// Built when it is asked for and not with this crate, which so needs nothing but Rust.
pub struct Program {
    folder: TempDir,
}

impl Program {
    /// # Errors
    /// Where this machine lacks what it is built or run with.
    pub fn build(recipe: &Recipe) -> anyhow::Result<Program> {
        let folder = TempDir::new().context("making a folder to build it in")?;
        fs::write(folder.path().join(recipe.file), recipe.source).context("writing its source")?;
        (recipe.build)(folder.path())?;
        Ok(Program { folder })
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

/// Becomes the program, so that the process that was started, pinned and measured is the server's own.
pub fn exec(kind: Kind, settings: &Settings) -> anyhow::Result<()> {
    let name = kind.name();
    let recipe = kind.recipe().with_context(|| format!("{name} is no program of its own"))?;
    let folder = settings.program(kind).with_context(|| format!("{name} needs --program"))?;
    let error = (recipe.command)(folder).arg(settings.buffer.to_string()).exec();
    Err(error).with_context(|| format!("running {name} in {}", folder.display()))
}

/// Runs a step of a recipe; its error is the line that says what is wrong.
pub fn run(step: &mut Command) -> anyhow::Result<()> {
    let tool = step.get_program().to_string_lossy().into_owned();
    let output = step.output().with_context(|| format!("running {tool}"))?;
    if !output.status.success() {
        bail!("{tool}: {}", complaint(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(())
}

/// The line of a compiler's output that says what is wrong.
fn complaint(output: &str) -> &str {
    // What the go tool heads its complaints with.
    let is_heading = |line: &str| line.starts_with("# ");
    let mut lines = output.lines().map(str::trim).filter(|line| !line.is_empty() && !is_heading(line));
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
        let from_go = "# command-line-arguments\n./echo.go:9:2: undefined: listen\n";
        assert_eq!(complaint(from_go), "./echo.go:9:2: undefined: listen");
        assert_eq!(complaint("\nsomething else\n"), "something else");
        assert_eq!(complaint(""), "failed without a word");
    }

    #[test]
    fn what_is_missing_is_named() {
        let build = |_: &Path| run(&mut Command::new("no-such-compiler"));
        let recipe = Recipe { file: "echo", source: "", build, command: |_| Command::new("no-such-program") };
        let error = Program::build(&recipe).err().unwrap();
        assert!(format!("{error:#}").starts_with("running no-such-compiler: "), "{error:#}");
    }

    #[test]
    fn a_program_is_built_in_a_folder_that_has_its_source() {
        let build = |folder: &Path| Ok(fs::copy(folder.join("echo"), folder.join("built")).map(drop)?);
        let recipe = Recipe { file: "echo", source: "text", build, command: |_| Command::new("no-such-program") };
        let program = Program::build(&recipe).unwrap();
        let folder = program.folder();
        assert_eq!(fs::read_to_string(folder.join("built")).unwrap(), "text");
        drop(program);
        assert!(!folder.exists());
    }
}
