//! The link to the next page (RFC 8288), as a client of the mirror can follow it. Pure.

use url::form_urlencoded::{Serializer, parse};

/// The registry's `Link`, led through the mirror: the path under which the client asked us, the
/// query of the registry's link, and `ns` if the client names the registry so. `None` if it leads
/// to no next page.
///
/// Whatever host or path the registry's link names, what tells its pages apart is the query.
#[must_use]
pub fn through_us(link: &str, path: &str, query: Option<&str>) -> Option<String> {
    let next = next(link)?.split('#').next()?;
    let theirs = next.split_once('?').map_or("", |(_, query)| query);
    let page = parse(theirs.as_bytes()).filter(|(name, _)| name != "ns");
    let ours = parse(query.unwrap_or_default().as_bytes()).filter(|(name, _)| name == "ns");
    let query = Serializer::new(String::new()).extend_pairs(page.chain(ours)).finish();
    Some(format!("<{path}?{query}>; rel=\"next\""))
}

/// The target whose relation is `next`.
fn next(link: &str) -> Option<&str> {
    link.split('<').skip(1).find_map(|one| {
        let (target, parameters) = one.split_once('>')?;
        parameters.split([';', ',']).any(is_next).then_some(target)
    })
}

fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        let mut relations = value.trim().trim_matches('"').split(' ');
        name.trim().eq_ignore_ascii_case("rel")
            && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_comes_through_the_mirror_however_the_registry_is_named() {
        let by_ns = Some("ns=r.example%3A5000&n=2");
        let (ns, path) = ("ns=r.example%3A5000", "/v2/a/b/tags/list");
        for (link, query, page) in [
            ("</v2/a/b/tags/list?last=x&n=2>; rel=\"next\"", by_ns, "last=x&n=2&"),
            ("<https://r.example:5000/v2/a/b/tags/list?t=%2F%3D>;rel=next", by_ns, "t=%2F%3D&"),
            ("<?last=x>; foo=bar; REL=\"prev Next\"", by_ns, "last=x&"),
            ("</1>; rel=\"prev\", </2?a=b>; rel=\"next\"", by_ns, "a=b&"),
            ("</v2/?ns=evil.example&a=b#c?d>; rel=next", by_ns, "a=b&"),
        ] {
            let expected = format!("<{path}?{page}{ns}>; rel=\"next\"");
            assert_eq!(through_us(link, path, query), Some(expected), "{link}");
        }
        let path = "/v2/r.example/a/b/tags/list";
        let link = through_us("</v2/a/b/tags/list?last=x>; rel=\"next\"", path, None);
        assert_eq!(link, Some(format!("<{path}?last=x>; rel=\"next\"")));
    }

    #[test]
    fn what_leads_to_no_next_page_is_left_out() {
        for link in ["", "</a?b=c>; rel=\"prev\"", "</a?b=c", "</a>; title=next", "nonsense"] {
            assert_eq!(through_us(link, "/v2/a/tags/list", None), None, "{link}");
        }
    }
}
