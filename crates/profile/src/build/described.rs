//! The properties of a process other than its sites, and of the machine that it ran on.

use crate::intern::Tables;
use crate::report::cuts::cuts;
use crate::{Process, Str, redact, started};
use rustix::system::uname;
use skipheap_format::cause::Cause;
use skipheap_format::cut::Cut;
use skipheap_format::loss::Loss;
use skipheap_format::reader::Recording;
use skipheap_text::printable;

/// The properties of the process other than its sites.
pub(super) fn process(tables: &mut Tables, recording: &Recording<'_>) -> Process {
    let exe = printable(recording.exe());
    let arguments = recording.cmdline().split(|&byte| byte == 0);
    let mut words: Vec<String> = arguments.map(printable).collect();
    // The last one is ended by NUL as well.
    if words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    let words = redact::command(words.iter().map(String::as_str));
    let command: Vec<Str> = words.iter().map(|word| tables.string(word)).collect();
    let machine = uname();
    let text = |text: &std::ffi::CStr| printable(text.to_bytes());
    let os = format!("{} {}", text(machine.sysname()), text(machine.release()));
    let losses = Loss::ALL
        .iter()
        .map(|loss| (Cause::Code(loss.code()), recording.loss(*loss)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let cuts = Cut::ALL
        .iter()
        .zip(cuts(recording))
        .map(|(cut, count)| (Cause::Code(cut.code()), count))
        .filter(|(_, count)| *count > 0)
        .collect();
    Process {
        program: tables.string(&printable(started::program(recording))),
        exe: tables.string(&exe),
        command,
        pid: recording.pid(),
        ppid: recording.ppid(),
        host: tables.string(&text(machine.nodename())),
        os: tables.string(&os),
        arch: tables.string(&text(machine.machine())),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32),
        start_ns: recording.start_ns(),
        end_ns: recording.end_ns(),
        finished: recording.finished(),
        whole_stacks: recording.has_whole_stacks(),
        stack_depth: recording.stack_depth(),
        sample_bytes: recording.sample_bytes(),
        live: super::live(tables, recording),
        losses,
        cuts,
        notes: recording
            .notes()
            .map(|note| note.map(|text| tables.string(&printable(text.as_bytes()))))
            .collect(),
        labels: Vec::new(),
        merged: None,
        thread_bytes: Vec::new(),
    }
}
