use std::path::PathBuf;

use crate::servers::program::Program;
use crate::servers::Kind;

/// The servers that not every machine can have: those in other languages that are asked for, built once for all rounds.
pub struct Programs(Vec<(Kind, Result<Program, String>)>);

impl Programs {
    /// Builds them, or says on standard error why one is skipped.
    pub fn build(asked_for: impl Iterator<Item = Kind>) -> Programs {
        let mut programs = Programs(Vec::new());
        for kind in asked_for {
            let Some(recipe) = kind.recipe() else { continue };
            if programs.0.iter().any(|(built, _)| *built == kind) {
                continue;
            }
            let result = Program::build(recipe).map_err(|error| format!("{error:#}"));
            if let Err(why) = &result {
                eprintln!("{} is skipped: {why}", kind.name());
            }
            programs.0.push((kind, result));
        }
        programs
    }

    pub fn why_skipped(&self, kind: Kind) -> Option<&str> {
        let (_, result) = self.0.iter().find(|(built, _)| *built == kind)?;
        result.as_ref().err().map(String::as_str)
    }

    pub fn folders(&self) -> Vec<(Kind, PathBuf)> {
        self.0.iter().filter_map(|(kind, result)| Some((*kind, result.as_ref().ok()?.folder()))).collect()
    }
}
