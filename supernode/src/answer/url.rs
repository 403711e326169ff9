//! What a URL is, for `dfget`: named by what its server says of its state.

use std::sync::Arc;

use content::{Digest, TaskId};
use peer::origin::{Origin, OriginStream};
use peer::{Failure, LiveTask};
use registry::UrlStream;
use url::Url;
use wire::request::{Kind, OpenUrl, Opened};

use super::Answers;

impl Answers {
    /// Tells the node `name` what a URL is, and gives it a ticket.
    pub async fn open_url(&self, name: &str, request_id: &str, ask: OpenUrl) -> Opened {
        match self.url_opened(name, ask).await {
            Ok(opened) => opened,
            Err(failure) => {
                tracing::info!(node = %name, request = %request_id, error = %failure, "a URL is not to be had");
                Opened { failure: Some(failure.into()), ..Opened::default() }
            }
        }
    }

    async fn url_opened(&self, name: &str, ask: OpenUrl) -> Result<Opened, Failure> {
        let invalid = |what: String| Failure::new(Kind::Invalid, what);
        let url = Url::parse(&ask.url).map_err(|error| invalid(error.to_string()))?;
        let expected = ask
            .digest
            .map(|digest| digest.parse::<Digest>())
            .transpose()
            .map_err(|error| invalid(error.to_string()))?;
        let live = self.url(url, expected).await?;
        self.swarm.grant(name, live.id());
        let statements = self.swarm.sign(&live, live.layout().all(), false);
        Ok(Opened {
            statements: statements.into_iter().map(Into::into).collect(),
            ticket: Some(self.swarm.ticket(live.id(), name)),
            fresh_seconds: 0,
            ..Opened::default()
        })
    }

    /// The URL's task. The server is asked each time: a URL's bytes may change.
    async fn url(&self, url: Url, expected: Option<Digest>) -> Result<Arc<LiveTask>, Failure> {
        let stream = self.access.registries().open_url(&url, 0.., &[]).await?;
        let task = name(&url, expected, &stream)?;
        let origin = Origin::Url { url, etag: stream.etag.clone() };
        self.known(&task);
        let stream = OriginStream::url(stream, 0)?;
        let live = self.feeds.adopt(task, origin, stream).await?;
        self.engine.hash(&live, expected);
        self.watch(&live);
        Ok(live)
    }
}

/// The task's name: the URL in canonical form, and the state of its content: the digest that is
/// expected, or what the server says (design, section 3).
fn name(url: &Url, expected: Option<Digest>, stream: &UrlStream) -> Result<TaskId, Failure> {
    let state = match (expected, &stream.etag, &stream.last_modified) {
        (Some(digest), ..) => format!("digest {digest}"),
        (None, Some(etag), _) => format!("etag {etag}"),
        (None, None, Some(modified)) => format!("modified {modified}"),
        (None, None, None) => {
            return Err(Failure::new(
                Kind::Invalid,
                "the server says nothing by which two states of the file could be told apart \
                 (no ETag, no Last-Modified), so it is not shared; give --digest",
            ));
        }
    };
    let port = url.port_or_known_default().unwrap_or_default().to_string();
    let fields = [
        url.scheme(),
        url.host_str().unwrap_or_default(),
        &port,
        url.path(),
        url.query().unwrap_or_default(),
        &state,
    ];
    Ok(TaskId::of_url_fields(fields))
}
