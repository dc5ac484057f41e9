//! Markdown: responsible functions and the largest sites as tables with totals and what is missing from them, for descriptions of changes and
//! summaries of CI jobs.

use super::data;
use super::leaks::Leak;
use skipheap_compare::diff::out::markdown::{code, escaped};
use skipheap_profile::Profile;
use skipheap_profile::functions::{self, StackSums};
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::report::left::Blocks;
use skipheap_profile::report::rows::{Row, totals};
use skipheap_profile::rows::rows;
use skipheap_text::{bytes, counted, grouped};
use std::io::{self, Write};

/// Sites that are listed.
const LISTED: usize = 20;

/// Writes the table.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let rows = rows(profile, false);
    let all = totals(&rows);
    writeln!(out, "### Heap of {}\n", code(&data::title(profile)))?;
    writeln!(
        out,
        "**{}**, {}, {}",
        escaped(&counted(all.calls, "allocation", "allocations")),
        escaped(&bytes(all.bytes)),
        counted(all.sites as u64, "site", "sites"),
    )?;
    if profile.has_live() {
        let sum = |of: fn(&LiveSums) -> u64| {
            let live = rows
                .iter()
                .filter_map(|row| Some((row.live.as_ref()?, row.size)));
            live.fold((0_u64, 0_u64), |sum, (live, size)| {
                let blocks = of(live);
                let bytes = sum.1.saturating_add(blocks.saturating_mul(size));
                (sum.0.saturating_add(blocks), bytes)
            })
        };
        let (left, left_bytes) = sum(LiveSums::live);
        let (_, peak_bytes) = sum(LiveSums::peak);
        writeln!(
            out,
            "\nAt the {} {}{}, not freed {} in {}",
            whose_peak(profile),
            escaped(&bytes(peak_bytes)),
            peak_error(profile),
            escaped(&bytes(left_bytes)),
            counted(left, "block", "blocks"),
        )?;
    }
    functions(profile, all.bytes, out)?;
    leaks(profile, out)?;
    writeln!(out, "\n<details><summary>call sites</summary>")?;
    sites(profile, &rows, all.bytes, out)?;
    writeln!(out, "\n</details>")?;
    for loss in data::losses(profile) {
        writeln!(out, "\n> Missing or cut: {}", escaped(&loss.to_string()))?;
    }
    Ok(())
}

/// How far an estimated peak is to be trusted.
fn peak_error(profile: &Profile) -> String {
    let highest = profile.highest().unwrap_or(0);
    let process = profile.processes.get(highest as usize);
    let peak = process.and_then(|process| process.live.as_ref());
    let peak = peak.map_or(0, |live| live.peak_bytes).max(1) as f64;
    match profile.peak_error(highest) {
        error if error > 0.0 => escaped(&format!(" ±{:.1} %", 100.0 * error / peak)),
        _ => String::new(),
    }
}

/// Names the peak whose blocks the tables have.
fn whose_peak(profile: &Profile) -> String {
    let highest = profile.highest().filter(|_| profile.processes.len() > 1);
    match highest.and_then(|index| profile.processes.get(index as usize)) {
        None => "peak".to_owned(),
        Some(process) => {
            let program = escaped(profile.text(process.program));
            match &process.merged {
                Some(_) => format!("peak of the run of {program} with the highest one"),
                None => format!("peak of {program} {}, which held the most,", process.pid),
            }
        }
    }
}

/// The table of the functions that are responsible for the most.
fn functions(profile: &Profile, total: u64, out: &mut dyn Write) -> io::Result<()> {
    let functions = StackSums::of_profile(profile).functions(&functions::plumbing(), Value::Bytes);
    let (heading, rule) = match profile.has_live() {
        true => (" at peak | not freed |", "---:|---:|"),
        false => ("", ""),
    };
    writeln!(
        out,
        "\n| bytes | share | calls | size |{heading} responsible (via plumbing) ← mostly called by |\n\
         |---:|---:|---:|---:|{rule}---|"
    )?;
    for function in functions.all.iter().take(LISTED) {
        let figures = &function.figures;
        let share = 100.0 * figures.bytes as f64 / total.max(1) as f64;
        let mut cells = vec![
            grouped(figures.bytes),
            format!("{share:.1} %"),
            grouped(figures.calls),
            function.shown_sizes(),
        ];
        if profile.has_live() {
            cells.extend([grouped(figures.peak), grouped(figures.live)]);
        }
        let name = code(&function.in_one_line());
        writeln!(out, "| {} | {name} |", cells.join(" | "))?;
    }
    if functions.all.len() > LISTED {
        let more = counted(
            (functions.all.len() - LISTED) as u64,
            "function",
            "functions",
        );
        writeln!(out, "\nand {more} that allocate less")?;
    }
    Ok(())
}

/// The tables of all stacks of which blocks are lost: the first ones, and what can be opened below them.
fn leaks(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let Some(leaks) = super::leaks::leaks(profile) else {
        return Ok(());
    };
    let sum = super::leaks::sum(&leaks);
    writeln!(
        out,
        "\n**Leaked**: {} from {}, {} indirectly",
        amount(sum.all),
        counted(leaks.len() as u64, "stack", "stacks"),
        amount(sum.indirect),
    )?;
    let (first, others) = leaks.split_at(leaks.len().min(LISTED));
    leak_table(profile, first, out)?;
    if !others.is_empty() {
        let more = counted(others.len() as u64, "more stack", "more stacks");
        writeln!(out, "\n<details><summary>{more}</summary>")?;
        leak_table(profile, others, out)?;
        writeln!(out, "\n</details>")?;
    }
    Ok(())
}

fn amount(blocks: Blocks) -> String {
    let number = counted(blocks.blocks, "block", "blocks");
    format!("{} in {number}", escaped(&bytes(blocks.bytes)))
}

fn leak_table(profile: &Profile, leaks: &[Leak], out: &mut dyn Write) -> io::Result<()> {
    if leaks.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n| directly leaked | blocks | indirectly leaked | blocks | responsible (via plumbing) ← called by |\n\
         |---:|---:|---:|---:|---|"
    )?;
    for leak in leaks {
        let (direct, indirect) = (leak.stack.left.direct(), leak.stack.left.indirect);
        let cells = [direct.bytes, direct.blocks, indirect.bytes, indirect.blocks].map(grouped);
        let name = functions::stack_in_one_line(profile, leak.stack.node, leak.who);
        writeln!(out, "| {} | {} |", cells.join(" | "), code(&name))?;
    }
    Ok(())
}

/// The table of the largest sites.
fn sites(profile: &Profile, rows: &[Row], total: u64, out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let (heading, rule) = match profile.has_live() {
        true => (" at peak | not freed |", "---:|---:|"),
        false => ("", ""),
    };
    writeln!(
        out,
        "\n| bytes | share | calls | size |{heading} allocated by ← called by |\n|---:|---:|---:|---:|{rule}---|"
    )?;
    for row in rows.iter().take(LISTED) {
        let share = 100.0 * row.total as f64 / total.max(1) as f64;
        let cells = [
            grouped(row.total),
            format!("{share:.1} %"),
            grouped(row.calls),
            grouped(row.size),
        ];
        write!(out, "| {} |", cells.join(" | "))?;
        if profile.has_live() {
            for of in [LiveSums::peak, LiveSums::live] {
                match &row.live {
                    Some(live) => write!(out, " {} |", grouped(of(live).saturating_mul(row.size)))?,
                    None => write!(out, " - |")?,
                }
            }
        }
        let names: Vec<&str> = row.names.iter().flatten().map(|name| &**name).collect();
        let stack = match names.is_empty() {
            true => "-".to_owned(),
            false => names.join(" ← "),
        };
        writeln!(out, " {} |", code(&stack))?;
    }
    if rows.len() > LISTED {
        let more = counted((rows.len() - LISTED) as u64, "site", "sites");
        writeln!(out, "\nand {more} that allocate less")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::testing::{leaky, of_sites, small};

    fn text(profile: &Profile) -> String {
        let mut out = Vec::new();
        write(profile, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_largest_sites_are_listed_with_what_is_missing() {
        let text = text(&small());
        for line in [
            "### Heap of <code>program &#45;n</code>",
            "**19 allocations**, 4,672 bytes (4&#46;7 kB), 4 sites",
            "At the peak 4,336 bytes (4&#46;3 kB), not freed 4,336 bytes (4&#46;3 kB) in 7 blocks",
            "| bytes | share | calls | size | at peak | not freed | responsible (via plumbing) ← mostly called by |",
            "| 4,096 | 87.7 % | 1 | 4,096 | 4,096 | 4,096 | <code>read ← main</code> |",
            "<details><summary>call sites</summary>",
            "> Missing or cut: internal errors of the profiler&#58; 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_stack_that_leaks_is_in_a_table() {
        let text = text(&leaky());
        for line in [
            "**Leaked**: 4,336 bytes (4&#46;3 kB) in 7 blocks from 2 stacks, 200 bytes in 5 blocks indirectly",
            "| 4,096 | 1 | 0 | 0 | <code>read ← main</code> |",
            "| 40 | 1 | 200 | 5 | <code>node&#95;new ← parse ← main</code> |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        let mut many = leaky();
        let sites: Vec<_> = (0..30).map(|_| many.sites[2].clone()).collect();
        for mut site in sites {
            site.node = many.nodes.len() as u32;
            many.nodes.push(many.nodes[0]);
            many.sites.push(site);
        }
        let text = self::text(&many);
        assert!(
            text.contains("<details><summary>12 more stacks</summary>"),
            "{text}"
        );
        assert_eq!(text.matches("| 4,096 | 1 | 0 | 0 |").count(), 31, "{text}");
        assert!(!self::text(&small()).contains("eaked"));
    }

    #[test]
    fn names_are_no_markup() {
        let text = text(&of_sites("p", &[(&["a|b`c`<i>d"], 8, 1, 0)]));
        assert!(
            text.contains("<code>a&#124;b&#96;c&#96;&#60;i&#62;d</code> |"),
            "{text}"
        );
    }
}
