//! From a challenge to what meets it: a token from the realm, or our password.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use url::{Url, form_urlencoded};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::challenge::{Bearer, Challenge};
use super::realm::RealmRule;
use super::token::{Grant, Identity};
use crate::config::RegistriesConfig;
use crate::credential::sensitive;
use crate::door::Ask;
use crate::error::{Error, is_transient_status};
use crate::names::Repository;
use crate::own::{self, Secret};
use crate::reply::Reply;
use crate::retry::Backoff;
use crate::sent::Sent;
use crate::sites::Upstream;

/// What a token lives if the realm does not say (distribution's token specification).
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// How long a password is used without being read anew, so that a rotated one is taken up.
const PASSWORD_LIFETIME: Duration = Duration::from_secs(300);
/// No token is kept for longer, whatever the realm says.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const LARGEST_ANSWER: u64 = 256 * 1024;

/// All that is needed to get a token for one repository.
pub(crate) struct Exchange<'a> {
    pub(crate) upstream: &'a Upstream<'a>,
    pub(crate) config: &'a RegistriesConfig,
    pub(crate) repository: &'a Repository,
    pub(crate) identity: Identity,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Exchange<'_> {
    /// Meets `challenge`. None if that is refused, or if we have nothing to meet it with.
    pub(crate) async fn grant(&self, challenge: &Challenge) -> Result<Option<Grant>, Error> {
        let secret = self.secret().await?;
        if let Some(Secret::Bearer(token)) = &secret {
            return self.bearer(token, PASSWORD_LIFETIME).map(Some);
        }
        match challenge {
            Challenge::Basic => {
                let basic = secret.and_then(|secret| secret.basic());
                let header = basic.and_then(|basic| sensitive(&basic));
                Ok(header.map(|header| Grant::new(header, PASSWORD_LIFETIME)))
            }
            Challenge::Bearer(bearer) => self.token(bearer, secret.as_ref()).await,
        }
    }

    async fn secret(&self) -> Result<Option<Secret>, Error> {
        match (&self.upstream.site.config.credentials, self.identity) {
            (Some(config), Identity::Own | Identity::Pusher) => {
                own::load(config, &self.upstream.registry).await
            }
            _ => Ok(None),
        }
    }

    async fn token(
        &self,
        bearer: &Bearer,
        secret: Option<&Secret>,
    ) -> Result<Option<Grant>, Error> {
        self.check_realm(&bearer.realm)?;
        if let Some(secret) = secret {
            let reply = self.ask(|| self.post(bearer, secret)).await?;
            let is_password = matches!(secret, Secret::Password { .. });
            // Many realms know only the older way, and say so in all of these words.
            if !(is_password && matches!(reply.status(), 400 | 401 | 404 | 405)) {
                return self.read(reply).await;
            }
            reply.discard().await;
        }
        let reply = self.ask(|| self.get(bearer, secret)).await?;
        self.read(reply).await
    }

    fn check_realm(&self, realm: &Url) -> Result<(), Error> {
        let config = &self.upstream.site.config;
        let rule = RealmRule {
            endpoint: &self.upstream.endpoint,
            http: config.http,
            configured: &config.token_realms,
        };
        let built_in = self.upstream.registry == "docker.io"
            && realm.scheme() == "https"
            && realm.host_str() == Some("auth.docker.io");
        let is_proxy = self.upstream.sites.is_foreign_proxy(realm);
        if (built_in || rule.admits(realm)) && !is_proxy {
            return Ok(());
        }
        Err(Error::RealmDenied {
            registry: self.upstream.registry.clone(),
            realm: realm.host_str().unwrap_or_default().to_owned(),
        })
    }

    /// The OAuth2 way: a form with the password or the refresh token.
    fn post(&self, bearer: &Bearer, secret: &Secret) -> Ask {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_id", "meganeura");
        form.append_pair("scope", &self.scopes(bearer).join(" "));
        if let Some(service) = &bearer.service {
            form.append_pair("service", service);
        }
        match secret {
            Secret::Password { username, password } => {
                form.append_pair("grant_type", "password");
                form.append_pair("username", username);
                form.append_pair("password", password);
            }
            Secret::Identity(token) | Secret::Bearer(token) => {
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", token);
            }
        }
        let mut ask = Ask::new(Method::POST, bearer.realm.clone());
        ask.body = Some(Sent::Form(Zeroizing::new(form.finish())));
        ask
    }

    /// The older way: a query, with Basic authentication or anonymous.
    fn get(&self, bearer: &Bearer, secret: Option<&Secret>) -> Ask {
        let mut url = bearer.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = &bearer.service {
                query.append_pair("service", service);
            }
            for scope in self.scopes(bearer) {
                query.append_pair("scope", &scope);
            }
        }
        let mut ask = Ask::new(Method::GET, url);
        let basic = secret.and_then(Secret::basic);
        if let Some(header) = basic.and_then(|basic| sensitive(&basic)) {
            ask.private.insert(AUTHORIZATION, header);
        }
        ask
    }

    /// What is asked for: what the registry says, but never more than to pull, unless something is
    /// to be pushed.
    fn scopes(&self, bearer: &Bearer) -> Vec<String> {
        let wanted = bearer.scopes.iter().filter_map(|scope| only_pull(scope));
        let mut scopes: Vec<_> = wanted.collect();
        if self.identity == Identity::Pusher {
            let own = format!("repository:{}:pull", self.repository.name());
            scopes.retain(|scope| *scope != own);
            scopes.insert(0, format!("{own},push"));
        }
        if scopes.is_empty() {
            scopes.push(format!("repository:{}:pull", self.repository.name()));
        }
        scopes
    }

    /// Asks the realm until it answers without trouble. Redirects are not followed: a realm that
    /// was checked does not get to name another.
    async fn ask(&self, make: impl Fn() -> Ask) -> Result<Reply, Error> {
        let mut backoff = Backoff::for_headers(self.config);
        loop {
            let mut ask = make();
            let json = HeaderValue::from_static("application/json");
            ask.headers.insert(ACCEPT, json);
            let error = match self.upstream.route().fetch_here(&ask).await {
                Ok(reply) if !is_transient_status(reply.status()) => return Ok(reply),
                Ok(reply) => refused_by_realm(reply).await,
                Err(error) => error,
            };
            backoff.pause(error).await?;
        }
    }

    async fn read(&self, mut reply: Reply) -> Result<Option<Grant>, Error> {
        match reply.status() {
            200 => {}
            400 | 401 | 403 | 404 => {
                let identity = self.identity;
                let (registry, status) = (&self.upstream.registry, reply.status());
                tracing::debug!(%registry, status, ?identity, "the token realm refused");
                reply.discard().await;
                return Ok(None);
            }
            status => return Err(reply.protocol(format!("a token realm answered {status}"))),
        }
        let host = reply.host().to_owned();
        let body: Bytes = reply.collect("a token", LARGEST_ANSWER).await?;
        // The parser's own message could quote the token.
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| Error::protocol(&host, "a token realm's answer is not JSON"))?;
        let token = answer.token.as_ref().or(answer.access_token.as_ref());
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(Error::protocol(&host, "a token realm's answer has no token"));
        };
        let token = Zeroizing::new(token.clone());
        self.bearer(&token, lifetime(answer.expires_in)).map(Some)
    }

    fn bearer(&self, token: &str, lifetime: Duration) -> Result<Grant, Error> {
        let value = Zeroizing::new(format!("Bearer {token}"));
        let header = sensitive(&value).ok_or_else(|| {
            Error::protocol(&self.upstream.registry, "its token cannot stand in a header")
        })?;
        Ok(Grant::new(header, lifetime))
    }
}

fn lifetime(expires_in: Option<f64>) -> Duration {
    let told = expires_in.filter(|seconds| *seconds > 0.0);
    let told = told.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    told.unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME)
}

/// A realm's refusal: its status and when to come back. Its challenges and its body mean nothing to
/// a client, and the body may echo what was sent.
async fn refused_by_realm(reply: Reply) -> Error {
    let mut refusal = reply.into_refusal().await;
    refusal.www_authenticate.clear();
    refusal.body = Bytes::new();
    refusal.content_type = None;
    Error::Refused(Box::new(refusal))
}

/// A scope without its actions beyond `pull`; none if nothing is left of it. Scopes that are not
/// about repositories (`aws` at public.ecr.aws) are passed on.
fn only_pull(scope: &str) -> Option<String> {
    if scope.starts_with("registry:") {
        return None;
    }
    match scope.rsplit_once(':') {
        Some((repository, _)) if repository.starts_with("repository:") => {
            Some(format!("{repository}:pull"))
        }
        _ => Some(scope.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_pull() {
        for (scope, asked) in [
            ("repository:a/b:pull", Some("repository:a/b:pull")),
            ("repository:a/b:pull,push,delete", Some("repository:a/b:pull")),
            ("repository:a:5000/b:*", Some("repository:a:5000/b:pull")),
            ("registry:catalog:*", None),
            ("aws", Some("aws")),
        ] {
            assert_eq!(only_pull(scope).as_deref(), asked, "{scope}");
        }
    }

    #[test]
    fn lifetimes_are_bounded() {
        assert_eq!(lifetime(None), DEFAULT_LIFETIME);
        assert_eq!(lifetime(Some(-1.0)), DEFAULT_LIFETIME);
        assert_eq!(lifetime(Some(f64::NAN)), DEFAULT_LIFETIME);
        assert_eq!(lifetime(Some(300.0)), Duration::from_secs(300));
        assert_eq!(lifetime(Some(1e300)), DEFAULT_LIFETIME);
        assert_eq!(lifetime(Some(1e9)), LONGEST_LIFETIME);
    }
}
