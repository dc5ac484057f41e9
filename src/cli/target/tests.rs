//! On real programs, and files made for the purpose.

use super::*;
use crate::error::Code;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use tempfile::TempDir;

/// An executable file with this content.
fn executable(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn check(path: &Path) -> Result<(), Refusal> {
    find(path.as_os_str()).and_then(|target| target.check(true))
}

/// What is said, and the exit status.
fn refusal(path: &Path) -> (String, Code) {
    let why = check(path).expect_err("a refusal");
    (why.to_string(), why.code())
}

#[test]
fn programs_of_the_system_are_profiled() {
    for program in ["true", "/bin/sh", "perl"] {
        let target = find(program.as_ref()).expect(program);
        target.check(true).expect(program);
        assert!(target.exe.is_absolute(), "{target:?}");
        assert_eq!(target.argv0, program);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    for program in ["no-such-program-anywhere", "/no/such/program", ""] {
        let why = find(program.as_ref()).expect_err("not found");
        assert_eq!(why.code(), Code::NotFound);
        assert!(why.to_string().contains("not found"), "{why}");
    }
}

#[test]
fn what_cannot_be_executed_is_explained() {
    let folder = folder();
    let (said, code) = refusal(folder.path());
    assert!(said.contains("a folder"), "{said}");
    assert_eq!(code, Code::NotExecutable);

    let junk = executable(&folder, "junk", b"\x01\0\x02 junk");
    assert_eq!(refusal(&junk).1, Code::NotExecutable);

    let plain = folder.path().join("plain");
    fs::write(&plain, "no program").expect("a file");
    let (said, code) = refusal(&plain);
    assert!(said.contains("permission"), "{said}");
    assert_eq!(code, Code::NotExecutable);

    // It is the better message also when it was found on the way along PATH.
    let search = folder.path().as_os_str();
    let why = find::on_path("plain".as_ref(), Some(search)).expect_err("not executable");
    assert_eq!(why.code(), Code::NotExecutable);
}

#[test]
fn path_is_searched_in_its_order() {
    let (first, second) = (folder(), folder());
    fs::create_dir(first.path().join("program")).expect("a folder of that name");
    executable(&second, "program", b"#!/bin/sh\n");
    let search = std::env::join_paths([first.path(), second.path()]).expect("PATH");
    let found = find::on_path("program".as_ref(), Some(&search)).expect("found");
    assert_eq!(found, second.path().join("program"));
}

#[test]
fn scripts_are_judged_by_their_interpreter() {
    let folder = folder();
    let script = executable(&folder, "script", b"#! \t/usr/bin/perl -w\nprint 1;\n");
    let target = find(script.as_os_str()).expect("found");
    assert_eq!(target.exe, Path::new("/usr/bin/perl"));
    assert_eq!(target.argv0, "/usr/bin/perl");
    assert_eq!(target.path, script);
    target.check(true).expect("can be profiled");

    let line = format!("#!{}\n", script.display());
    let script_of_script = executable(&folder, "second", line.as_bytes());
    let target = find(script_of_script.as_os_str()).expect("found");
    assert_eq!(target.exe, Path::new("/usr/bin/perl"));

    let bare = executable(&folder, "bare", b"echo no first line\n");
    assert_eq!(find(bare.as_os_str()).expect("found").argv0, "/bin/sh");
}

#[test]
fn scripts_without_an_interpreter_are_explained() {
    let folder = folder();
    let script = executable(&folder, "script", b"#!/no/such/shell\n");
    let (said, code) = refusal(&script);
    assert!(
        said.contains("/no/such/shell") && said.contains("script"),
        "{said}"
    );
    assert_eq!(code, Code::NotFound);

    let endless = folder.path().join("endless");
    let line = format!("#!{}\n", endless.display());
    executable(&folder, "endless", line.as_bytes());
    assert_eq!(refusal(&endless).1, Code::NotExecutable);
}

/// Builds a program; fails the test without a compiler, which building the tool needs as well.
fn compiled(folder: &TempDir, name: &str, options: &[&str]) -> PathBuf {
    let source = folder.path().join("main.c");
    fs::write(&source, "int main(void) { return 0; }\n").expect("the source");
    let program = folder.path().join(name);
    let status = Command::new("cc")
        .args(options)
        .arg("-o")
        .args([&program, &source])
        .status()
        .expect("cc");
    assert!(status.success(), "cc {options:?}");
    program
}

#[test]
fn static_programs_are_refused_unless_they_only_start_others() {
    let folder = folder();
    for (name, options) in [("plain", &["-static"]), ("pie", &["-static-pie"])] {
        let program = compiled(&folder, name, options);
        let (said, code) = refusal(&program);
        assert!(said.contains("statically linked"), "{said}");
        assert_eq!(code, Code::Failed);
        let target = find(program.as_os_str()).expect("found");
        target.check(false).expect("may start other programs");
    }
    let script = format!("#!{}\n", folder.path().join("pie").display());
    let (said, _) = refusal(&executable(&folder, "script", script.as_bytes()));
    assert!(
        said.contains("script: interpreter ") && said.contains("static"),
        "{said}"
    );
}

#[test]
fn the_loader_itself_is_no_static_program() {
    let folder = folder();
    let program = compiled(&folder, "dynamic", &[]);
    let Ok(Kind::Loader(loader)) = elf::kind(&program) else {
        panic!("no loader in {}", program.display());
    };
    check(&loader).expect("can be profiled");
}

#[test]
fn loaders_are_told_by_their_names() {
    let of = |loader| elf::c_library_of(Path::new(loader));
    assert_eq!(of("/lib64/ld-linux-x86-64.so.2"), CLibrary::Glibc);
    assert_eq!(of("/lib/x86_64-linux-gnu/ld-2.31.so"), CLibrary::Glibc);
    assert_eq!(of("/lib/ld-musl-x86_64.so.1"), CLibrary::Musl);
    assert_eq!(of("/usr/lib/x86_64-linux-musl/libc.so"), CLibrary::Musl);
    assert_eq!(of("/usr/lib/x86_64-linux-gnu/libc.so"), CLibrary::Unknown);
    assert_eq!(of("/bin/true"), CLibrary::Unknown);
}

#[test]
fn programs_for_other_machines_and_loaders_are_refused() {
    let folder = folder();
    let program = compiled(&folder, "dynamic", &[]);
    let bytes = fs::read(&program).expect("the program");
    let patched = |name, at: usize, with: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        refusal(&executable(&folder, name, &bytes))
    };
    // EM_RISCV, then ELFCLASS32 of the same machine: x32.
    let (said, code) = patched("riscv", 18, &[243, 0]);
    assert!(said.contains("RISC-V"), "{said}");
    assert_eq!(code, Code::Failed);
    assert!(patched("x32", 4, &[1]).0.contains("32-bit"));

    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let at = bytes
        .windows(loader.len())
        .position(|window| window == loader)
        .expect("the loader's path");
    let (said, code) = patched("musl", at, b"/lib/ld-musl-none.so.1\0");
    assert!(said.contains("ld-musl-none"), "{said}");
    assert_eq!(code, Code::NotFound);
    let (said, code) = patched("odd", at, b"/odd64");
    assert!(said.contains("/odd64/ld-linux"), "{said}");
    assert_eq!(code, Code::NotFound);

    let cut = executable(&folder, "cut", &bytes[..80]);
    assert_eq!(refusal(&cut).1, Code::NotExecutable);
}

#[test]
fn programs_that_gain_privileges_are_refused() {
    let folder = folder();
    let program = compiled(&folder, "program", &[]);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).expect("chmod");
    check(&program).expect("one's own is an ordinary program");
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (owner, word) in [("1:0", "setuid"), ("0:1", "setgid")] {
        let status = Command::new("chown").arg(owner).arg(&program).status();
        assert!(status.expect("chown").success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).expect("chmod");
        let (said, code) = refusal(&program);
        assert!(said.contains(word), "{said}");
        assert_eq!(code, Code::Failed);
    }
}

#[test]
fn a_program_of_go_is_told_from_other_static_ones() {
    let folder = folder();
    let source = folder.path().join("go.s");
    let text = ".globl _start\n_start: hlt\n.section .note.go.buildid,\"a\",@note\n\
                .long 4, 4, 4\n.asciz \"Go\\0\"\n.ascii \"name\"\n";
    fs::write(&source, text).expect("written");
    let program = folder.path().join("go");
    let built = Command::new("gcc")
        .args(["-static", "-nostdlib", "-o"])
        .args([&program, &source])
        .status()
        .expect("gcc");
    assert!(built.success());
    let (said, code) = refusal(&program);
    assert!(said.contains("a static Go program"), "{said}");
    assert_eq!(code, Code::Failed);
}

#[test]
fn the_last_word_of_the_options_says_whether_the_sanitizer_looks_for_preloaded_libraries() {
    for options in [
        "",
        "verify_asan_link_order=1",
        "verify_asan_link_order=0:verify_asan_link_order=1",
        "no_verify_asan_link_order=0",
    ] {
        assert!(checks_link_order(options.as_bytes()), "{options}");
    }
    for options in [
        "verify_asan_link_order=0",
        "detect_leaks=0:verify_asan_link_order=false",
        "verify_asan_link_order=1,verify_asan_link_order=no halt_on_error=1",
    ] {
        assert!(!checks_link_order(options.as_bytes()), "{options}");
    }
}
