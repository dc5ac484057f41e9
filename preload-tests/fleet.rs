//! Many runs as one profile, `merge`, and profiles that are sent to servers, `--push`.

use crate::support::{Run, Source, tool};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;

/// Runs the fixture under the tool and leaves the profile at `path`.
fn profile(path: &Path) {
    Run::plain(tool())
        .args(&["-q", "--live", "-o"])
        .arg(path)
        .arg(Source::c("heap").flags(&["-g"]).build())
        .succeed();
}

fn csv(arguments: &[&str], input: &Path) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.csv");
    Run::plain(tool())
        .args(arguments)
        .args(&["-q", "--columns", "all", "-o"])
        .arg(&file)
        .arg(input)
        .succeed();
    let text = fs::read_to_string(&file).expect("the report");
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let fields = |record: ::csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|record| fields(record.expect("a row")))
        .collect()
}

#[test]
fn the_merge_of_three_runs_has_three_times_the_calls_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        let host = folder.path().join(name);
        fs::create_dir(&host).expect("a folder");
        profile(&host.join("run.skipheap"));
    }
    let one = csv(&["report"], &folder.path().join("a/run.skipheap"));
    let three = csv(&["merge", "--by", "line"], folder.path());
    assert_eq!(one.len(), three.len());
    let column = |name: &str| one[0].iter().position(|heading| heading == name);
    let calls = column("call count").expect("a column");
    let file = column("file").expect("a column");
    let mut sum = 0;
    for (one, three) in one.iter().zip(&three).skip(1) {
        let number = |row: &[String]| row[calls].parse::<u64>().expect("a number");
        assert_eq!(3 * number(one), number(three), "{one:?} {three:?}");
        // Names, size, file and line are those of each run.
        assert_eq!(
            (&one[..5], &one[file..file + 2]),
            (&three[..5], &three[file..file + 2])
        );
        sum += number(one);
    }
    assert!(sum > 10, "{one:?}");
    let merged = folder.path().join("all.skipheap");
    let outcome = Run::plain(tool())
        .args(&["merge", "--by=build,line"])
        .arg(folder.path())
        .arg("-o")
        .arg(&merged)
        .succeed();
    assert!(outcome.stderr.contains("heap, 3 runs: "), "{outcome:?}");
    assert!(outcome.stderr.contains("merged: 3 inputs"), "{outcome:?}");
    assert_eq!(csv(&["report"], &merged), three);
}

#[test]
fn options_about_single_runs_do_not_go_with_merge() {
    let outcome = Run::plain(tool())
        .args(&["merge", "--timeline", "t.csv", "/no/such"])
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("apply to single runs"),
        "{outcome:?}"
    );
}

/// A server that gives this answer to every request of so many, and the heads of these; with its address.
fn server(status: &'static str, requests: usize) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut reader = BufReader::new(&stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("a line"), 0, "{head}");
        }
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).expect("a length");
        let length = length
            .split('\r')
            .next()
            .expect("a number")
            .parse()
            .expect("a number");
        reader.read_exact(&mut vec![0; length]).expect("the body");
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).expect("the answer");
        head
    };
    let serving = std::thread::spawn(move || (0..requests).map(|_| serve()).collect());
    (address, serving)
}

#[test]
fn a_push_changes_neither_the_exit_status_nor_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (well, serving) = server("200 OK", 1);
    let (ill, _failing) = server("500 Internal Server Error", 3);
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    let file = folder.path().join("out.csv");
    let outcome = Run::plain(tool())
        .env("SKIP_HEAP_PYROSCOPE_TOKEN", "secret")
        .args(&["--push-timeout", "10", "-o"])
        .arg(&file)
        .args(&["--push", &format!("pyroscope+http://{well}/app")])
        .args(&["--push", &format!("pyroscope+http://{ill}/app")])
        .args(&["--push", &format!("parca+http://{silent}")])
        .args(&["/usr/bin/perl", "-e", "exit 7"])
        .finish();
    assert_eq!(outcome.status.code(), Some(7), "{outcome:?}");
    assert!(
        fs::read_to_string(&file)
            .expect("the report")
            .lines()
            .count()
            > 50
    );
    let heads = serving.join().expect("served");
    assert!(heads[0].starts_with("post /ingest?name=app"), "{heads:?}");
    assert!(
        heads[0].contains("\r\nauthorization: bearer secret\r\n"),
        "{heads:?}"
    );
    let said = |what: &str| outcome.stderr.lines().any(|line| line.contains(what));
    assert!(
        said(&format!("pushed to pyroscope+http://{well}/app")),
        "{outcome:?}"
    );
    let ill = format!(
        "warning: the profile was not pushed to pyroscope+http://{ill}/app: HTTP status 500"
    );
    assert!(said(&ill) && said("; the report is in "), "{outcome:?}");
    assert!(
        said(&format!("was not pushed to parca+http://{silent}/: ")),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("secret"), "{outcome:?}");
}

#[test]
fn profiles_and_merged_ones_are_pushed_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.skipheap");
    profile(&path);
    for verb in ["report", "merge"] {
        let (address, serving) = server("200 OK", 1);
        let outcome = Run::plain(tool())
            .args(&[
                verb,
                "-q",
                "--push",
                &format!("pyroscope+http://{address}/"),
            ])
            .arg("-o")
            .arg(folder.path().join("out.json"))
            .arg(&path)
            .succeed();
        assert_eq!(outcome.stderr, "");
        let heads = serving.join().expect("served");
        assert!(
            heads[0].starts_with("post /ingest?name=heap%7bhostname%3d"),
            "{heads:?}"
        );
    }
    let outcome = Run::plain(tool())
        .args(&["report", "--push", "http://h/"])
        .arg(&path)
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("expected pyroscope+http://"),
        "{outcome:?}"
    );
}
