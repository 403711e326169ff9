//! A body that goes on at the byte where a connection was cut.

use bytes::Bytes;
use http::HeaderValue;
use http::header::RANGE;

use crate::content_range::ContentRange;
use crate::door::Ask;
use crate::error::Error;
use crate::on_behalf::RequestId;
use crate::reply::Reply;
use crate::retry::Backoff;
use crate::span::Span;

/// Where a body comes from, any number of times.
pub(crate) trait Origin {
    /// Asks once for the bytes of `span`. An answer of any status is an answer.
    async fn open(&self, span: Span) -> Result<Reply, Error>;
}

/// Bytes of an object from some offset on, in order, each once, however often it takes.
pub(crate) struct Resume<O> {
    pub(crate) origin: O,
    /// On whose behalf, also when another task reads on.
    request: Option<RequestId>,
    /// What is still wanted; its start moves as bytes arrive.
    wanted: Span,
    pub(crate) total: Option<u64>,
    body: Option<Body>,
    backoff: Backoff,
    finished: bool,
}

/// A body under way.
struct Body {
    reply: Reply,
    place: Place,
}

/// Where the bytes of a body belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// So many bytes come before those that were asked for.
    skip: u64,
    /// The offset where the body ends, if it was declared.
    until: Option<u64>,
    total: Option<u64>,
}

impl<O: Origin> Resume<O> {
    /// Opens the object. `first` is how patiently, `backoff` how patiently from then on.
    pub(crate) async fn open(
        origin: O,
        span: Span,
        mut first: Backoff,
        backoff: Backoff,
    ) -> Result<Self, Error> {
        if span.is_empty() {
            return Err(Error::OutOfRange { total: None });
        }
        let request = RequestId::current();
        let mut resume = Self {
            origin,
            request,
            wanted: span,
            total: None,
            body: None,
            backoff,
            finished: false,
        };
        loop {
            match resume.reopen().await {
                Ok(()) => return Ok(resume),
                Err(error) => first.pause(error).await?,
            }
        }
    }

    /// The reply that is being read, if any.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        self.body.as_ref().map(|body| &body.reply)
    }

    /// Takes the object's length from elsewhere, if no answer has told it.
    pub(crate) fn learn_total(&mut self, total: u64) -> Result<(), Error> {
        if total < self.wanted.start || (total == self.wanted.start && total > 0) {
            return Err(Error::OutOfRange { total: Some(total) });
        }
        self.total = Some(total);
        if let Some(Body { place, .. }) = &mut self.body {
            place.until = place.until.or(Some(total));
        }
        Ok(())
    }

    /// The next bytes; none at the end, and after an error. Losing the future loses no bytes.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if self.finished {
            return None;
        }
        let next = self.advance().await.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.finished = true;
            self.body = None;
        }
        next
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let result = match self.body {
                Some(_) => self.step().await,
                None if self.is_complete() => return Ok(None),
                None => self.reopen().await.map(|()| Step::Again),
            };
            match result {
                Ok(Step::Bytes(bytes)) => {
                    self.backoff.progress();
                    return Ok(Some(bytes));
                }
                Ok(Step::End) => return Ok(None),
                Ok(Step::Again) => {}
                Err(error) => {
                    self.body = None;
                    self.backoff.pause(error).await?;
                }
            }
        }
    }

    async fn reopen(&mut self) -> Result<(), Error> {
        let opened = self.origin.open(self.wanted);
        let reply = RequestId::scope(self.request.clone(), opened).await?;
        if !matches!(reply.status(), 200 | 206 | 416) {
            return Err(reply.into_error().await);
        }
        let place = place(&reply, self.wanted, self.total)?;
        self.total = self.total.or(place.total);
        self.body = Some(Body { reply, place });
        Ok(())
    }

    /// One past the last byte that is wanted, as far as that is known.
    fn goal(&self) -> Option<u64> {
        match (self.wanted.end, self.total) {
            (Some(end), Some(total)) => Some(end.min(total)),
            (end, total) => end.or(total),
        }
    }

    fn is_complete(&self) -> bool {
        self.goal().is_some_and(|goal| self.wanted.start >= goal)
    }

    /// Reads on in the body.
    async fn step(&mut self) -> Result<Step, Error> {
        let (complete, goal, at) = (self.is_complete(), self.goal(), self.wanted.start);
        let Some(Body { reply, place }) = &mut self.body else {
            return Ok(Step::Again);
        };
        if complete {
            // Whether the object goes on is not of interest; whether the body does is.
            let ends_here = place.until == Some(at);
            return match if ends_here { reply.chunk().await } else { Ok(None) } {
                Ok(Some(more)) if !more.is_empty() => Err(too_long(reply)),
                _ => Ok(Step::End),
            };
        }
        let Some(mut bytes) = reply.chunk().await? else {
            return self.ended();
        };
        let skipped = place.skip.min(bytes.len() as u64);
        place.skip -= skipped;
        // Cannot truncate: it is at most the chunk's length.
        bytes = bytes.slice(usize::try_from(skipped).unwrap_or(bytes.len())..);
        let left = place.until.map(|until| until.saturating_sub(at));
        if left.is_some_and(|left| bytes.len() as u64 > left) {
            return Err(too_long(reply));
        }
        if let Some(wanted) = goal.map(|goal| goal.saturating_sub(at)) {
            bytes.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
        }
        if bytes.is_empty() {
            return Ok(Step::Again);
        }
        self.wanted.start += bytes.len() as u64;
        Ok(Step::Bytes(bytes))
    }

    /// The body has ended: that is the end, or the server's part of it, or too early.
    fn ended(&mut self) -> Result<Step, Error> {
        let Some(Body { reply, place }) = self.body.take() else {
            return Ok(Step::Again);
        };
        match place.until {
            Some(until) if self.wanted.start < until || place.skip > 0 => Err(Error::Network {
                host: reply.host().to_owned(),
                what: "the body ended early".to_owned(),
            }),
            // What is still missing was not in this answer; `advance` sees whether there is any.
            Some(_) => Ok(Step::Again),
            None if place.skip > 0 => Err(reply.protocol("the body is shorter than before")),
            None => Ok(Step::End),
        }
    }
}

fn too_long(reply: &Reply) -> Error {
    reply.protocol("the body is longer than declared")
}

enum Step {
    Bytes(Bytes),
    Again,
    End,
}

/// Where the bytes of `reply` belong, if it answers what was asked.
fn place(reply: &Reply, asked: Span, known: Option<u64>) -> Result<Place, Error> {
    let facts = Facts {
        status: reply.status(),
        range: reply.content_range(),
        length: reply.content_length(),
    };
    let place = facts.place(asked).map_err(|wrong| match wrong {
        Wrong::Protocol(what) => reply.protocol(what),
        Wrong::OutOfRange(total) => Error::OutOfRange { total },
    })?;
    match (known, place.total) {
        (Some(known), Some(told)) if known != told => {
            Err(Error::Changed { host: reply.host().to_owned() })
        }
        (Some(known), None) => Ok(Place {
            // A body of undeclared length still has to end where the object does.
            until: place.until.or(Some(known)),
            total: Some(known),
            ..place
        }),
        _ => Ok(place),
    }
}

/// What an answer says of its body.
struct Facts {
    status: u16,
    range: Option<ContentRange>,
    length: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    Protocol(&'static str),
    OutOfRange(Option<u64>),
}

impl Facts {
    fn place(&self, asked: Span) -> Result<Place, Wrong> {
        match (self.status, self.range) {
            (200, _) if self.length.is_some_and(|l| l <= asked.start && asked.start > 0) => {
                Err(Wrong::OutOfRange(self.length))
            }
            // The server does not do ranges: the bytes before are read and dropped.
            (200, _) => Ok(Place { skip: asked.start, until: self.length, total: self.length }),
            (206, _) if asked == Span::ALL => Err(Wrong::Protocol("a part, but all was asked for")),
            (206, Some(ContentRange::Part { start, end, total })) => {
                self.part(asked, start, end, total)
            }
            (206, _) => Err(Wrong::Protocol("a part without a sound Content-Range")),
            (416, Some(ContentRange::Unsatisfied { total })) => Err(Wrong::OutOfRange(total)),
            (416, _) => Err(Wrong::OutOfRange(None)),
            _ => Err(Wrong::Protocol("a status that makes no sense here")),
        }
    }

    fn part(&self, asked: Span, start: u64, end: u64, total: Option<u64>) -> Result<Place, Wrong> {
        if start != asked.start || asked.end.is_some_and(|wanted| end > wanted) {
            return Err(Wrong::Protocol("another part than was asked for"));
        }
        if self.length.is_some_and(|length| length != end - start) {
            return Err(Wrong::Protocol("Content-Range and Content-Length disagree"));
        }
        Ok(Place { skip: 0, until: Some(end), total })
    }
}

/// Adds the range of `span` to a request, unless it is all.
pub(crate) fn ask_for(ask: &mut Ask, span: Span) {
    if span == Span::ALL {
        return;
    }
    let last = span.end.map(|end| end.saturating_sub(1).to_string());
    let value = format!("bytes={}-{}", span.start, last.unwrap_or_default());
    // Digits and a dash always are a header's value.
    if let Ok(value) = HeaderValue::from_str(&value) {
        ask.headers.insert(RANGE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(
        status: u16,
        range: &str,
        length: Option<u64>,
        asked: impl Into<Span>,
    ) -> Result<(u64, Option<u64>, Option<u64>), Wrong> {
        let range = ContentRange::parse(range);
        let facts = Facts { status, range, length };
        facts.place(asked.into()).map(|p| (p.skip, p.until, p.total))
    }

    #[test]
    fn where_bytes_belong() {
        let (some, all) = (Some, Span::ALL);
        assert_eq!(placed(200, "", some(9), all), Ok((0, some(9), some(9))));
        assert_eq!(placed(200, "", None, all), Ok((0, None, None)));
        assert_eq!(placed(200, "", some(0), all), Ok((0, some(0), some(0))));
        assert_eq!(placed(200, "", some(9), 4..), Ok((4, some(9), some(9))));
        assert_eq!(placed(206, "bytes 4-8/9", some(5), 4..), Ok((0, some(9), some(9))));
        assert_eq!(placed(206, "bytes 4-5/9", None, 4..8), Ok((0, some(6), some(9))));
        assert_eq!(placed(206, "bytes 4-5/*", None, 4..8), Ok((0, some(6), None)));
    }

    #[test]
    fn what_does_not_answer_the_question() {
        let protocol = |placed: Result<_, Wrong>| matches!(placed, Err(Wrong::Protocol(_)));
        assert!(protocol(placed(206, "bytes 0-8/9", None, Span::ALL)));
        assert!(protocol(placed(206, "bytes 3-8/9", None, 4..)));
        assert!(protocol(placed(206, "bytes 4-8/9", None, 4..8)));
        assert!(protocol(placed(206, "bytes 4-8/9", Some(6), 4..)));
        assert!(protocol(placed(206, "", Some(5), 4..)));
        assert_eq!(placed(416, "bytes */9", None, 9..), Err(Wrong::OutOfRange(Some(9))));
        assert_eq!(placed(200, "", Some(9), 9..), Err(Wrong::OutOfRange(Some(9))));
    }
}
