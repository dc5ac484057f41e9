//! HTML: one page that needs nothing else, with the profile inside it.
//!
//! The page is built from `web/` and has one empty element for the data: base64 of gzip of the JSON of
//! [`super::columns`]. Base64 has no `<`, so that whatever a symbol is called, it cannot end the element.

use super::columns::Document;
use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use skipheap_profile::Profile;
use std::io::{self, BufWriter, Write};

/// The page without data.
const PAGE: &str = include_str!("../assets/report.html");
/// Behind this the data are put.
const SLOT: &str = r#"<script id="skipheap-data" type="application/octet-stream">"#;

/// Writes the page with this profile.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    fill(PAGE, profile, out)
}

fn fill(page: &str, profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let (before, after) = page
        .split_once(SLOT)
        .ok_or_else(|| io::Error::other("the page of this build has no place for data"))?;
    out.write_all(before.as_bytes())?;
    out.write_all(SLOT.as_bytes())?;
    let base64 = EncoderWriter::new(&mut *out, &STANDARD);
    let gzip = GzEncoder::new(base64, Compression::default());
    let mut json = BufWriter::new(gzip);
    serde_json::to_writer(&mut json, &Document::new(profile))?;
    let gzip = json.into_inner().map_err(io::IntoInnerError::into_error)?;
    gzip.finish()?.finish()?;
    out.write_all(after.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use flate2::read::GzDecoder;
    use serde_json::Value;
    use skipheap_profile::testing::of_sites;

    #[test]
    fn the_page_holds_the_data_and_no_name_gets_out_of_them() {
        let hostile = "</script><img src=x onerror=alert(1)>";
        let profile = of_sites(hostile, &[(&["main", hostile], 8, 3, 1)]);
        let mut page = Vec::new();
        write(&profile, &mut page).expect("written");
        let page = String::from_utf8(page).expect("text");
        assert!(!page.contains(hostile));
        let (before, rest) = page.split_once(SLOT).expect("data");
        let (data, after) = rest
            .split_once("</script>")
            .expect("the end of the element");
        assert_eq!(format!("{before}{SLOT}</script>{after}"), PAGE);
        let gzip = STANDARD.decode(data).expect("base64");
        let document: Value = serde_json::from_reader(GzDecoder::new(&gzip[..])).expect("JSON");
        let names = document["strings"].as_array().expect("texts");
        assert!(names.iter().any(|name| name == hostile));
    }

    #[test]
    fn a_page_without_a_place_is_an_error() {
        let said = fill("<html>", &Profile::default(), &mut io::sink()).unwrap_err();
        assert!(said.to_string().contains("no place for data"));
    }
}
