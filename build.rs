//! What cargo cannot say in `Cargo.toml`: the library's linker options, the copy of the library
//! that the tool carries, and the revision for `--version`.

// cargo reads what this prints, and takes paths as they are.
#![allow(clippy::disallowed_methods)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set for the nested build, whose own run of this script must not nest again.
const NESTED: &str = "SKIPHEAP_NESTED_BUILD";

/// The path of a library that was built already and is embedded as it is. `scripts/release` links the
/// tool with another linker, which the library neither needs (it refers to no newer symbols of glibc)
/// nor can be linked with.
const PREBUILT: &str = "SKIPHEAP_PREBUILT_LIBRARY";

/// Everything that the library is made of; the tool's sources are not among it, so that a change
/// there does not build the library again.
const LIBRARY_SOURCES: [&str; 9] = [
    "src/preload",
    "crates/config",
    "crates/format",
    "crates/profile",
    "crates/symbolize",
    "crates/text",
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
];

fn main() {
    // A packaged source has no other crates beside it, and what is missing would always be new.
    for path in LIBRARY_SOURCES
        .iter()
        .filter(|path| Path::new(path).exists())
    {
        println!("cargo::rerun-if-changed={path}");
    }
    link_library();
    if env::var_os("CARGO_FEATURE_CLI").is_some() && env::var_os(NESTED).is_none() {
        embed_library();
        name_version();
    }
}

/// Links the unwinder of the panic machinery into the library and keeps the library mapped.
///
/// Without the first, std brings `libgcc_s.so.1` into every profiled process, at three times the
/// cost of the whole start; it has to be a library of the crate and not a linker argument, which
/// would come behind the `-lgcc_s` of std and change nothing. Without the second, a program that
/// loads the library by `dlopen` could unload it under the threads that run in it. The third keeps
/// the library's calls of its own exported functions within it, whatever the program defines.
fn link_library() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic-functions");
    let found = output(Command::new(compiler()).arg("-print-file-name=libgcc_eh.a"));
    // A compiler that has none prints the bare name.
    match found.as_deref().map(Path::new).and_then(Path::parent) {
        Some(folder) if folder.is_absolute() => {
            println!("cargo::rustc-link-search=native={}", folder.display());
            println!("cargo::rustc-link-lib=static=gcc_eh");
        }
        _ => println!("cargo::warning=no libgcc_eh.a: the library will load libgcc_s.so.1"),
    }
}

/// The C compiler for the target, by the variables that the cc crate reads; for another architecture than
/// this machine's, GCC's by its usual name.
fn compiler() -> OsString {
    let target = env::var("TARGET").expect("set by cargo");
    let of_target = format!("CC_{}", target.replace('-', "_"));
    for name in [of_target.as_str(), "CC"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let usual = if env::var("HOST").is_ok_and(|host| host == target) {
        "cc".to_owned()
    } else {
        let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("set by cargo");
        format!("{arch}-linux-gnu-gcc")
    };
    env::var_os(&of_target)
        .or_else(|| env::var_os("CC"))
        .unwrap_or(usual.into())
}

/// Hands the path of the library to `include_bytes!`.
///
/// cargo installs only programs, and for `cargo test` it does not even build the library, so the
/// tool carries it.
fn embed_library() {
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let library = match env::var_os(PREBUILT) {
        Some(path) => PathBuf::from(path),
        None => match build_library() {
            Some(path) => path,
            None => return,
        },
    };
    println!("cargo::rerun-if-changed={}", library.display());
    let Ok(bytes) = fs::read(&library) else {
        println!("cargo::error=cannot read {}", library.display());
        return;
    };
    println!("cargo::rustc-env=SKIPHEAP_LIBRARY={}", library.display());
    println!(
        "cargo::rustc-env=SKIPHEAP_LIBRARY_ID={:016x}",
        fnv1a(&bytes)
    );
}

/// Builds the library once more, always optimised. `None`, and an error for cargo, where that fails.
///
/// The nested cargo uses the same lock file and, being offline, what the outer one has fetched.
fn build_library() -> Option<PathBuf> {
    let target = env::var("TARGET").expect("set by cargo");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo")).join("library");
    let mut cargo = Command::new(env::var_os("CARGO").expect("set by cargo"));
    cargo
        .args(["build", "--package", env!("CARGO_PKG_NAME")])
        .args(["--lib", "--no-default-features"])
        .args(["--profile", "preload", "--locked", "--offline"])
        .arg("--target-dir")
        .arg(&out)
        // Even for the host: with it, the place of the result does not depend on settings.
        .args(["--target", &target])
        .env(NESTED, "1");
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_outer_build(name)) {
        cargo.env_remove(name);
    }
    let status = cargo.status();
    if !status.as_ref().is_ok_and(|status| status.success()) {
        println!("cargo::error=the library to be embedded could not be built ({status:?})");
        return None;
    }
    Some(out.join(target).join("preload/libskipheap.so"))
}

/// Variables of the outer build that would change the nested one: features (it would build the
/// tool again, without end), wrappers (clippy's would lint instead of build), flags (coverage or a
/// sanitizer does not belong in a malloc).
fn is_of_outer_build(name: &OsStr) -> bool {
    const PREFIXES: [&str; 4] = [
        "CARGO_FEATURE_",
        "CARGO_CFG_",
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
    ];
    const NAMES: [&str; 8] = [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "CARGO_BUILD_RUSTC_WRAPPER",
        "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTFLAGS",
    ];
    name.to_str().is_some_and(|name| {
        NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

/// The version with the revision it was built from, where there is a repository to ask.
fn name_version() {
    let mut version = env::var("CARGO_PKG_VERSION").expect("set by cargo");
    // A packaged source may lie inside somebody else's repository.
    if Path::new(".git").exists() {
        for file in ["HEAD", "logs/HEAD"] {
            if let Some(path) = output(Command::new("git").args(["rev-parse", "--git-path", file]))
                .filter(|path| Path::new(path).exists())
            {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        if let Some(revision) =
            output(Command::new("git").args(["rev-parse", "--short=10", "HEAD"]))
        {
            version = format!("{version} ({revision})");
        }
    }
    println!("cargo::rustc-env=SKIPHEAP_VERSION={version}");
}

/// The one line that a command prints; `None` when it fails or cannot be started.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let line = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// Names the content of the library; what depends on the name compares the content too.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
