//! The first contact of a node that has no certificate yet, and the renewal of one that has.

/// What a node that joins says, over TLS whose CA it knows by the hash in its join string.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Join {
    /// The join string's secret.
    #[prost(string, tag = "1")]
    pub secret: String,
    /// The name that the node wants.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its certificate signing request (PKCS#10, DER).
    #[prost(bytes = "vec", tag = "3")]
    pub request: Vec<u8>,
}

/// A new certificate for a node whose own is still good; its name is the one that it has.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Renew {
    /// The certificate signing request (PKCS#10, DER).
    #[prost(bytes = "vec", tag = "1")]
    pub request: Vec<u8>,
}

/// The answer to both.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Joined {
    /// Why not, if not.
    #[prost(string, optional, tag = "1")]
    pub refusal: Option<String>,
    /// The node's certificate (DER).
    #[prost(bytes = "vec", tag = "2")]
    pub certificate: Vec<u8>,
    /// The cluster's CA certificate (DER).
    #[prost(bytes = "vec", tag = "3")]
    pub ca: Vec<u8>,
    /// The keys whose statements and tickets are believed, 32 bytes each.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub keys: Vec<Vec<u8>>,
    /// Where the cluster's supernodes are reached.
    #[prost(string, repeated, tag = "5")]
    pub supernodes: Vec<String>,
}
