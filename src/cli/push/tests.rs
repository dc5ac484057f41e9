//! Pushes to servers on this machine.

use super::*;
use flate2::read::GzDecoder;
use prost::Message;
use skipheap_profile::testing::small;
use std::io::Write;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

/// What is looked at of a pprof.
#[derive(Clone, PartialEq, Message)]
struct Pprof {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    name: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

/// What a server got.
struct Got {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|header| header.0 == name);
        let value = found.next().map_or("", |header| &header.1);
        assert!(found.next().is_none(), "{name} twice");
        value
    }

    /// The values of the query, decoded.
    fn query(&self) -> Vec<(String, String)> {
        let query = self
            .line
            .split(' ')
            .nth(1)
            .and_then(|path| path.split('?').nth(1));
        let pairs = query.unwrap_or_default().split('&');
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').expect("a pair");
            // What needs it is encoded, so that nothing has to be read in two ways.
            assert!(
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b))
            );
            let mut parts = value.split('%');
            let mut bytes = parts.next().expect("a part").as_bytes().to_vec();
            for part in parts {
                bytes.push(u8::from_str_radix(&part[..2], 16).expect("digits"));
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            (name.to_owned(), String::from_utf8(bytes).expect("text"))
        };
        pairs.map(pair).collect()
    }
}

fn read(stream: &mut TcpStream) -> Got {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let mut next = |reader: &mut BufReader<_>| {
        line.clear();
        reader.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    };
    let first = next(&mut reader);
    let mut headers = Vec::new();
    loop {
        let line = next(&mut reader);
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let mut got = Got {
        line: first,
        headers,
        body: Vec::new(),
    };
    let length = got.header("content-length").parse().expect("a length");
    got.body = vec![0; length];
    reader.read_exact(&mut got.body).expect("the body");
    got
}

/// A server that gives these answers one after the other, and what it got; with its address.
fn server(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<Got>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let serving = std::thread::spawn(move || {
        let answer = |answer: Vec<u8>| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let got = read(&mut stream);
            stream.write_all(&answer).expect("the answer");
            got
        };
        answers.into_iter().map(answer).collect()
    });
    (address, serving)
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn ok() -> Vec<u8> {
    answer("200 OK", "", b"")
}

/// Pushes the test profile; how long that may take is in seconds.
fn pushed(url: &str, seconds: u64) -> Result<(), String> {
    let target = url.parse().expect("a target");
    push_to(
        &small(),
        &target,
        Instant::now() + Duration::from_secs(seconds),
        false,
    )
}

/// The sum of a sample type of a compressed pprof.
fn sum_of(pprof: &[u8], wanted: &str) -> i64 {
    let mut bytes = Vec::new();
    GzDecoder::new(pprof).read_to_end(&mut bytes).expect("gzip");
    let message = Pprof::decode(&bytes[..]).expect("pprof");
    let text = |index: i64| message.string_table[index as usize].as_str();
    let mut types = message.sample_type.iter();
    let column = types
        .position(|kind| text(kind.name) == wanted)
        .expect("a type");
    message
        .sample
        .iter()
        .map(|sample| sample.value[column])
        .sum()
}

fn check(pprof: &[u8]) {
    let profile = small();
    let bytes: u64 = profile.sites.iter().map(|site| site.bytes()).sum();
    let calls: u64 = profile.sites.iter().map(|site| site.figures.calls).sum();
    assert_eq!(sum_of(pprof, "alloc_space"), bytes as i64);
    assert_eq!(sum_of(pprof, "alloc_objects"), calls as i64);
}

#[test]
fn pyroscope_gets_a_form_with_the_profile() {
    let (address, serving) = server(vec![ok()]);
    pushed(
        &format!("pyroscope+http://{address}/my%20app?env=a%7Db"),
        20,
    )
    .expect("pushed");
    let got = &serving.join().expect("served")[0];
    assert!(got.line.starts_with("POST /ingest?"), "{}", got.line);
    let process = &small().processes[0];
    assert_eq!(
        got.query(),
        [
            ("name", "my_app{hostname=host,env=a_b}".to_owned()),
            ("from", (process.start_ns / 1_000_000_000).to_string()),
            ("until", (process.end_ns / 1_000_000_000).to_string()),
            ("spyName", "skip-heapprof".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    );
    assert!(got.header("user-agent").starts_with("skip-heapprof "));
    let kind = got.header("content-type");
    let boundary = kind
        .strip_prefix("multipart/form-data; boundary=")
        .expect("a form");
    // As RFC 2046 has it: a line break belongs to the boundary that follows it.
    let delimiter = format!("\r\n--{boundary}");
    let mut body = b"\r\n".to_vec();
    body.extend_from_slice(&got.body);
    let places: Vec<usize> = memchr::memmem::find_iter(&body, delimiter.as_bytes()).collect();
    assert_eq!(places.len(), 3);
    assert_eq!(&body[places[2] + delimiter.len()..], b"--\r\n");
    let mut fields = Vec::new();
    for pair in places.windows(2) {
        let part = &body[pair[0] + delimiter.len() + 2..pair[1]];
        let end = memchr::memmem::find(part, b"\r\n\r\n").expect("headers");
        let headers = std::str::from_utf8(&part[..end]).expect("text");
        let name = headers
            .split("; name=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        assert!(
            headers.starts_with("Content-Disposition: form-data; name="),
            "{headers}"
        );
        fields.push((name.expect("a name").to_owned(), &part[end + 4..]));
    }
    assert_eq!(fields[0].0, "profile");
    check(fields[0].1);
    assert_eq!(fields[1].0, "sample_type_config");
    let config: serde_json::Value = serde_json::from_slice(fields[1].1).expect("JSON");
    for (name, units) in [
        ("alloc_objects", "objects"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "objects"),
        ("inuse_space", "bytes"),
    ] {
        assert_eq!(config[name]["units"], units, "{name}");
    }
}

/// A frame of gRPC-Web.
fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    [&[flags][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

#[test]
fn parca_gets_a_message_in_a_frame() {
    let trailers = [
        frame(0, b""),
        frame(0x80, b"grpc-status:0\r\ngrpc-message:\r\n"),
    ]
    .concat();
    let kind = "Content-Type: application/grpc-web+proto\r\n";
    let (address, serving) = server(vec![answer("200 OK", kind, &trailers)]);
    pushed(&format!("parca+http://{address}/?env=prod&a-b=c"), 20).expect("pushed");
    let got = &serving.join().expect("served")[0];
    let method = "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw";
    assert_eq!(got.line, format!("POST {method} HTTP/1.1"));
    assert_eq!(got.header("content-type"), "application/grpc-web+proto");
    assert_eq!(got.header("x-grpc-web"), "1");
    let (head, message) = got.body.split_at(5);
    assert_eq!(head[0], 0);
    assert_eq!(head[1..], (message.len() as u32).to_be_bytes());
    let message = parca::WriteRaw::decode(message).expect("a message");
    assert!(message.normalized);
    let [series] = &message.series[..] else {
        panic!("{:?}", message.series.len());
    };
    let labels = series.labels.as_ref().expect("labels").labels.iter();
    let labels: Vec<(&str, &str)> = labels
        .map(|l| (l.name.as_str(), l.value.as_str()))
        .collect();
    assert_eq!(
        labels,
        [
            ("__name__", "memory"),
            ("job", "program"),
            ("hostname", "host"),
            ("env", "prod"),
            ("a_b", "c"),
        ]
    );
    check(&series.samples[0].raw_profile);
}

#[test]
fn errors_of_grpc_are_errors() {
    let trailers_only = answer(
        "200 OK",
        "grpc-status: 16\r\ngrpc-message: who are you?\r\n",
        b"",
    );
    let in_a_frame = answer(
        "200 OK",
        "",
        &frame(0x80, b"grpc-status:3\r\ngrpc-message:bad pprof\r\n"),
    );
    for (given, expected) in [
        (trailers_only, "gRPC status 16: who are you?"),
        (in_a_frame, "gRPC status 3: bad pprof"),
        (answer("200 OK", "", b"<html>"), "is this a Parca server?"),
    ] {
        let (address, serving) = server(vec![given]);
        let said = pushed(&format!("parca+http://{address}"), 20).unwrap_err();
        assert!(said.contains(expected), "{said}");
        assert_eq!(serving.join().expect("served").len(), 1);
    }
}

#[test]
fn a_server_in_trouble_is_asked_again_but_not_for_ever() {
    let trouble = || answer("500 Internal Server Error", "", b"no room\x1b[31m");
    let (address, serving) = server(vec![trouble(), ok()]);
    pushed(&format!("pyroscope+http://{address}/app"), 20).expect("pushed");
    assert_eq!(serving.join().expect("served").len(), 2);
    let (address, serving) = server(vec![trouble(), trouble(), trouble()]);
    let said = pushed(&format!("pyroscope+http://{address}/app"), 20).unwrap_err();
    assert!(said.contains("500") && said.contains("no room"), "{said}");
    assert!(said.ends_with("(3 tries)"), "{said}");
    assert_eq!(serving.join().expect("served").len(), 3);
    let (address, serving) = server(vec![answer("401 Unauthorized", "", b"token?")]);
    let said = pushed(&format!("pyroscope+http://{address}/app"), 20).unwrap_err();
    assert!(said.contains("401") && said.contains("token?"), "{said}");
    assert_eq!(serving.join().expect("served").len(), 1);
}

#[test]
fn redirections_are_not_followed() {
    let (elsewhere, _never) = server(vec![]);
    let to = format!("Location: http://{elsewhere}/ingest\r\n");
    let (address, serving) = server(vec![answer("307 Temporary Redirect", &to, b"")]);
    let said = pushed(&format!("pyroscope+http://{address}/app"), 20).unwrap_err();
    assert!(said.contains("307"), "{said}");
    assert_eq!(serving.join().expect("served").len(), 1);
}

#[test]
fn a_server_that_does_not_answer_is_left_in_time() {
    // Accepted by the kernel, and never read.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    let start = Instant::now();
    let said = pushed(&format!("pyroscope+http://{address}/app"), 1).unwrap_err();
    assert!(said.contains("timeout"), "{said}");
    let took = start.elapsed();
    assert!((1..8).contains(&took.as_secs()), "{took:?}");
    drop(listener);
    let said = pushed(&format!("pyroscope+http://{address}/app"), 20).unwrap_err();
    assert!(said.contains("refused"), "{said}");
}
