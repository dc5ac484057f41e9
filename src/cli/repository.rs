//! The project that a check runs in: the folder at which the paths of a review begin, and files as seen
//! from there.

use skipheap_compare::gate::out::ReviewPaths;
use std::path::{Component, Path, PathBuf};

/// A folder that is one, or a file that points to it (in worktrees and submodules).
const GIT: &str = ".git";
/// Folders of packages that are not the project's own. So are hidden ones (`.cargo`, `.venv`).
const PACKAGES: [&str; 3] = ["node_modules", "site-packages", "dist-packages"];

/// The folder of a repository, and the current folder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repository {
    root: PathBuf,
    here: PathBuf,
}

impl Repository {
    /// The repository of a check that runs in the folder `here`. Of the folders that the CI job says it has
    /// checked the source out to, the one that `here` lies in counts, then any; outside a job it is the innermost
    /// repository of git, or else `here`.
    pub(crate) fn new(of_job: &[PathBuf], here: PathBuf) -> Self {
        let inside = real(&here);
        let folders = || of_job.iter().filter(|folder| folder.is_dir());
        let root = folders()
            .find(|folder| inside.starts_with(real(folder)))
            .or_else(|| folders().next())
            .map(PathBuf::as_path)
            .or_else(|| here.ancestors().find(|folder| folder.join(GIT).exists()))
            .unwrap_or(&here);
        Self {
            root: real(root),
            here,
        }
    }

    /// Returns whether a source file is there and the project's own: in the repository, and in no folder of packages.
    pub(crate) fn owns(&self, file: &Path) -> bool {
        let Some(path) = self.path_of_source(file) else {
            return false;
        };
        let path = Path::new(&path);
        let is_package = |folder: &Path| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') || PACKAGES.contains(&&*name)
        };
        let mut folders = path.ancestors().skip(1);
        !folders.any(is_package) && self.root.join(path).is_file()
    }
}

impl ReviewPaths for Repository {
    fn path_of(&self, file: &Path) -> Option<String> {
        let absolute = self.here.join(file);
        // A file that is not there has a folder that may be.
        let absolute = match (absolute.parent(), absolute.file_name()) {
            (Some(folder), Some(name)) if !absolute.exists() => real(folder).join(name),
            _ => real(&absolute),
        };
        let path = absolute.strip_prefix(&self.root).ok()?;
        let is_inside = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        (is_inside && path != Path::new("")).then(|| path.to_string_lossy().into_owned())
    }

    fn path_of_source(&self, file: &Path) -> Option<String> {
        let from_here = self.here.join(file);
        let is_elsewhere = !from_here.exists() && self.root.join(file).exists();
        self.path_of(
            match is_elsewhere {
                true => self.root.join(file),
                false => from_here,
            }
            .as_path(),
        )
    }
}

/// A path without links, where it leads somewhere.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_compare::gate::out::Report;
    use skipheap_compare::gate::out::testing::report;
    use skipheap_compare::gate::verdict::Rule;
    use std::fs;

    /// A repository with a subfolder, both with sources.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in [
            "src/a.rs",
            "sub/src/b.rs",
            ".cargo/registry/c.rs",
            "sub/node_modules/d.c",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().expect("one")).expect("made");
            fs::write(path, "").expect("written");
        }
        folder
    }

    #[test]
    fn paths_begin_at_the_repository_wherever_the_check_runs() {
        let folder = folder();
        let root = folder.path();
        let repository = Repository::new(&[root.to_owned()], root.join("sub"));
        let path = |file: &str| repository.path_of(Path::new(file));
        assert_eq!(path("heap.csv").as_deref(), Some("sub/heap.csv"));
        assert_eq!(path("../heap.csv").as_deref(), Some("heap.csv"));
        assert_eq!(path("../src/../src/a.rs").as_deref(), Some("src/a.rs"));
        assert_eq!(path("../../heap.csv"), None);
        assert_eq!(path("/usr/src/a.c"), None);
        assert_eq!(path(".."), None);
        let absolute = root.join("sub/src/b.rs");
        assert_eq!(
            repository.path_of(&absolute).as_deref(),
            Some("sub/src/b.rs")
        );
        let source = |file: &str| repository.path_of_source(Path::new(file));
        assert_eq!(source("src/b.rs").as_deref(), Some("sub/src/b.rs"));
        assert_eq!(source("src/a.rs").as_deref(), Some("src/a.rs"));
        // A link to the repository is the repository.
        let link = root.join("link");
        std::os::unix::fs::symlink(root, &link).expect("linked");
        let linked = Repository::new(std::slice::from_ref(&link), link.join("sub"));
        let path = linked.path_of(Path::new("heap.csv"));
        assert_eq!(path.as_deref(), Some("sub/heap.csv"));
    }

    #[test]
    fn outside_a_job_the_repository_is_that_of_git() {
        let folder = folder();
        let root = folder.path();
        let at = |of_job: &[PathBuf]| {
            let repository = Repository::new(of_job, root.join("sub/src"));
            repository.path_of(Path::new("x")).expect("inside")
        };
        fs::create_dir(root.join(".git")).expect("made");
        assert_eq!(at(&[]), "sub/src/x");
        // That of a worktree or a submodule is a file.
        fs::write(root.join("sub/.git"), "gitdir: elsewhere").expect("written");
        assert_eq!(at(&[]), "src/x");
        assert_eq!(at(&["/no/such/folder".into()]), "src/x");
        assert_eq!(at(&["/usr".into(), root.to_owned()]), "sub/src/x");
    }

    #[test]
    fn packages_are_not_the_projects_own() {
        let folder = folder();
        let repository = Repository::new(&[], folder.path().to_owned());
        let owns = |file: &str| repository.owns(Path::new(file));
        assert!(owns("src/a.rs") && owns("sub/src/b.rs"));
        assert!(!owns(".cargo/registry/c.rs") && !owns("sub/node_modules/d.c"));
        assert!(!owns("src/none.rs") && !owns("src") && !owns("/etc/passwd"));
    }

    #[test]
    fn places_are_inside_the_repository_or_not_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        for below in ["src", "sub"] {
            std::fs::create_dir(root.join(below)).expect("made");
        }
        std::fs::write(root.join("src/a,b:c.rs"), "").expect("written");
        let mut report = report();
        report.config = Some(root.join("skipheap.toml"));
        report.verdict.findings[0].line = Some(4);
        let place = |report: &Report, index: usize| report.place(&report.verdict.findings[index]);
        for (here, baseline) in [("", "heap.csv"), ("sub", "sub/heap.csv")] {
            report.repository = Box::new(Repository::new(&[root.to_owned()], root.join(here)));
            assert_eq!(place(&report, 0), Some((baseline.into(), 4)));
            assert_eq!(place(&report, 1), Some(("src/a,b:c.rs".into(), 7)));
        }
        report.verdict.findings[0].rule = Rule::Budget;
        assert_eq!(place(&report, 0), Some(("skipheap.toml".into(), 4)));
        report.repository = Box::new(Repository::new(&[], root.join("src")));
        assert_eq!(place(&report, 0), None);
    }
}
