//! Parca's `ProfileStoreService/WriteRaw`, by gRPC-Web: a message in a frame, over any version of HTTP.
//! <https://github.com/parca-dev/parca/blob/main/proto/parca/profilestore/v1alpha1/profilestore.proto>,
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>

use super::About;
use super::send::{Answer, Request};
use crate::options::push_target::Place;
use prost::Message;

/// `parca.profilestore.v1alpha1.WriteRawRequest`; 1 is obsolete.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WriteRaw {
    #[prost(message, repeated, tag = "2")]
    pub(super) series: Vec<RawProfileSeries>,
    /// Whether the addresses are those of the object files.
    #[prost(bool, tag = "3")]
    pub(super) normalized: bool,
}

/// Profiles with the same labels.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RawProfileSeries {
    #[prost(message, optional, tag = "1")]
    pub(super) labels: Option<LabelSet>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<RawSample>,
}

/// Labels.
#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelSet {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
}

/// A label.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// A profile.
#[derive(Clone, PartialEq, Message)]
pub(super) struct RawSample {
    /// pprof, compressed.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) raw_profile: Vec<u8>,
}

/// Where the method is.
pub(super) const METHOD: &str = "parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw";

/// The request.
pub(super) fn request(place: &Place, about: &About, pprof: Vec<u8>) -> Request {
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    // What kind of profiles these are, as Parca's own agents say of Go's.
    let mut labels = vec![label("__name__", "memory"), label("job", &about.name)];
    labels.extend(
        about
            .labels
            .iter()
            .map(|(name, value)| label(&name_of(name), value)),
    );
    let message = WriteRaw {
        series: vec![RawProfileSeries {
            labels: Some(LabelSet { labels }),
            samples: vec![RawSample { raw_profile: pprof }],
        }],
        normalized: true,
    };
    let message = message.encode_to_vec();
    // Not compressed, and its length.
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(&message);
    Request {
        url: format!("{}/{METHOD}", place.base),
        headers: vec![
            ("Content-Type", "application/grpc-web+proto".to_owned()),
            ("Accept", "application/grpc-web+proto".to_owned()),
            ("X-Grpc-Web", "1".to_owned()),
        ],
        secrets: "SKIP_HEAP_PARCA",
        body,
        answer: Answer::GrpcWeb,
    }
}

/// A label's name as Prometheus allows it.
fn name_of(text: &str) -> String {
    let fits = |(index, c): (usize, char)| {
        let is_fit = c == '_' || c.is_ascii_alphabetic() || index > 0 && c.is_ascii_digit();
        if is_fit { c } else { '_' }
    };
    text.chars().enumerate().map(fits).collect()
}
