//! A harness that runs the program in a temporary folder.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The result of a process.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The JSON objects on standard output, one per line.
    pub fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Panics unless the exit code is `code` and standard error is one line that contains every element of
    /// `parts`.
    #[track_caller]
    pub fn refused(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        let [error] = errors[..] else { panic!("expected one error in {:?}", self.stderr) };
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?} expected in {error:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        let code = output.status.code().unwrap_or_else(|| panic!("the program was ended: {output:?}"));
        Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A temporary working directory of the program.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().unwrap())
    }

    /// A folder in memory if the system has one, for tests with many files.
    pub fn in_memory() -> Place {
        Place(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The program, with this folder as its working directory.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_msdcam"));
        command.current_dir(self.path()).args(args).env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs the program here.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// Runs it with the words of `line` as arguments.
    pub fn msdcam(&self, line: &str) -> Run {
        self.run(&line.split(' ').collect::<Vec<_>>())
    }

    /// The same with `input` on its standard input.
    pub fn piped(&self, line: &str, input: &[u8]) -> Run {
        let mut command = self.command(&line.split(' ').collect::<Vec<_>>());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The program may refuse its arguments before it reads.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap().into()
    }

    /// Writes a file here.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The cat, 451 x 300, as `name`.
    pub fn cat(&self, name: &str) {
        self.write(name, &std::fs::read(repository("weights/samples/chelsea.png")).unwrap());
    }

    /// One of the 32 x 32 images of the golden results, under its own name.
    pub fn small(&self, name: &str) {
        self.write(name, &std::fs::read(repository("tests/golden/images").join(name)).unwrap());
    }

    /// Names in `folder`, sorted.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path().join(folder)).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A path in this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
