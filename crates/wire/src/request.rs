//! The first message on every stream says what the stream is for.

use crate::{SignedTicket, Statement, data};

/// What a stream is for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// The id under which the logs of all processes tell of it.
    #[prost(string, tag = "15")]
    pub request_id: String,
    /// One of the things below.
    #[prost(oneof = "Asks", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    pub asks: Option<Asks>,
}

/// The things that a stream is for.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Asks {
    /// The node's long-lived control stream. To a supernode only.
    #[prost(message, tag = "1")]
    Control(Control),
    /// What a blob is, and leave to have it. To a supernode only; answered by [`Opened`].
    #[prost(message, tag = "2")]
    Open(Open),
    /// A manifest. To a supernode only; answered by [`Manifested`].
    #[prost(message, tag = "3")]
    Manifest(Manifest),
    /// A page of tags or referrers. To a supernode only; answered by [`Paged`].
    #[prost(message, tag = "4")]
    Page(Page),
    /// A new certificate for a node whose own is still good. To a supernode only; answered by
    /// [`crate::join::Joined`].
    #[prost(message, tag = "5")]
    Renew(crate::join::Renew),
    /// A run of pieces; answered by [`data::PieceHeader`]s.
    #[prost(message, tag = "6")]
    Fetch(data::Fetch),
    /// What the asked knows of a task; answered by [`data::Description`].
    #[prost(message, tag = "7")]
    Describe(data::Describe),
    /// What a URL is, for `dfget`. To a supernode only; answered by [`Opened`].
    #[prost(message, tag = "8")]
    OpenUrl(OpenUrl),
}

/// The node's long-lived control stream follows.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Control {}

/// A place in a registry, and who asks.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Place {
    /// The registry's host, as references have it.
    #[prost(string, tag = "1")]
    pub registry: String,
    /// The repository's name.
    #[prost(string, tag = "2")]
    pub repository: String,
    /// The client's `Authorization`, if it sent one. Never logged, never stored.
    #[prost(string, optional, tag = "3")]
    pub authorization: Option<String>,
}

/// What a blob is, and leave to have it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Open {
    /// Where it is, and who asks.
    #[prost(message, optional, tag = "1")]
    pub place: Option<Place>,
    /// Its digest.
    #[prost(string, tag = "2")]
    pub digest: String,
    /// How urgent it is.
    #[prost(enumeration = "crate::control::Priority", tag = "3")]
    pub priority: i32,
    /// Ask for nothing but the facts: a client's HEAD.
    #[prost(bool, tag = "4")]
    pub only_facts: bool,
}

/// What a URL is. Only requests without credentials are shared, so there are none here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OpenUrl {
    /// The URL.
    #[prost(string, tag = "1")]
    pub url: String,
    /// The digest that the whole must have, if the asker knows it.
    #[prost(string, optional, tag = "2")]
    pub digest: Option<String>,
}

/// The answer to [`Open`] and [`OpenUrl`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Opened {
    /// Why not, if not.
    #[prost(message, optional, tag = "1")]
    pub failure: Option<Failure>,
    /// What is known of the task; at least one statement tells its cut.
    #[prost(message, repeated, tag = "2")]
    pub statements: Vec<Statement>,
    /// Leave to have it from whoever holds it.
    #[prost(message, optional, tag = "3")]
    pub ticket: Option<SignedTicket>,
    /// The whole task, where it is of one piece.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub inline: Option<Vec<u8>>,
    /// For how many seconds the node may give it to the same client without asking again.
    #[prost(uint64, tag = "5")]
    pub fresh_seconds: u64,
}

/// A manifest, by tag or by digest.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Manifest {
    /// Where it is, and who asks.
    #[prost(message, optional, tag = "1")]
    pub place: Option<Place>,
    /// Its tag or digest.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// The media types that the client takes.
    #[prost(string, repeated, tag = "3")]
    pub accept: Vec<String>,
    /// The client's `If-None-Match`.
    #[prost(string, optional, tag = "4")]
    pub if_none_match: Option<String>,
    /// Whether the client asks for the head only.
    #[prost(bool, tag = "5")]
    pub head: bool,
}

/// The answer to [`Manifest`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Manifested {
    /// Why not, if not.
    #[prost(message, optional, tag = "1")]
    pub failure: Option<Failure>,
    /// 200, or 304.
    #[prost(uint32, tag = "2")]
    pub status: u32,
    /// The manifest's digest.
    #[prost(string, tag = "3")]
    pub digest: String,
    /// Its media type.
    #[prost(string, tag = "4")]
    pub media_type: String,
    /// Its length in bytes.
    #[prost(uint64, tag = "5")]
    pub length: u64,
    /// Its bytes, if they were asked for.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub body: Option<Vec<u8>>,
    /// What else the registry said that clients use.
    #[prost(message, repeated, tag = "7")]
    pub headers: Vec<Header>,
    /// Leave to have the blobs that it lists, with what is known of them.
    #[prost(message, repeated, tag = "8")]
    pub grants: Vec<Grant>,
    /// For how many seconds the node may give it to the same client without asking again.
    #[prost(uint64, tag = "9")]
    pub fresh_seconds: u64,
}

/// Leave to have one blob of an authorised manifest, good while the supernode is away too.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Grant {
    /// The ticket; it names the task.
    #[prost(message, optional, tag = "1")]
    pub ticket: Option<SignedTicket>,
    /// What is known of the task.
    #[prost(message, repeated, tag = "2")]
    pub statements: Vec<Statement>,
}

/// A page of tags or referrers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Page {
    /// Where it is, and who asks.
    #[prost(message, optional, tag = "1")]
    pub place: Option<Place>,
    /// The digest whose referrers are asked for; the tags if there is none.
    #[prost(string, optional, tag = "2")]
    pub referrers_of: Option<String>,
    /// `n` of a page of tags.
    #[prost(uint32, optional, tag = "3")]
    pub n: Option<u32>,
    /// `last` of a page of tags.
    #[prost(string, optional, tag = "4")]
    pub last: Option<String>,
    /// `artifactType` of referrers.
    #[prost(string, optional, tag = "5")]
    pub artifact_type: Option<String>,
    /// The rest of the query, form-encoded: what the registry's link to this page held.
    #[prost(string, tag = "6")]
    pub more: String,
}

/// The answer to [`Page`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct Paged {
    /// Why not, if not.
    #[prost(message, optional, tag = "1")]
    pub failure: Option<Failure>,
    /// What the registry said.
    #[prost(message, optional, tag = "2")]
    pub said: Option<Said>,
}

/// Why something cannot be had.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Failure {
    /// What kind of failure it is.
    #[prost(enumeration = "Kind", tag = "1")]
    pub kind: i32,
    /// The cause, and the remedy where there is one, for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// What the registry said, to be handed through.
    #[prost(message, optional, tag = "3")]
    pub said: Option<Said>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// Something else; the message tells.
    Other = 0,
    /// The registry refused; what it said is at hand.
    Refused = 1,
    /// The registry or its address is not one that the configuration admits.
    NotAdmitted = 2,
    /// The origin cannot be reached, or fails.
    Origin = 3,
    /// The bytes are not what their digest says.
    Mismatch = 4,
    /// The request makes no sense.
    Invalid = 5,
}

/// What a registry said: to be handed through to the client.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Said {
    /// The HTTP status.
    #[prost(uint32, tag = "1")]
    pub status: u32,
    /// Challenge, rate limit, content type: what clients use.
    #[prost(message, repeated, tag = "2")]
    pub headers: Vec<Header>,
    /// The body.
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
}

/// One HTTP header.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Header {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}
