//! From host and path to a route.
//!
//! The host decides first: exact name, then the longest wildcard, then routes for every host; a
//! table without a match passes the request on to the next. Within a table the order is nginx's:
//! exact path; else the longest prefix, which wins at once if it is final; else the first regex in
//! file order; else that longest prefix.
//!
//! Prefixes are whole segments, so a tree of segments finds the longest one in a single walk down
//! the path: a thousand routes cost what ten do.

use std::collections::HashMap;

use regex::Regex;

use crate::config::{HostMatch, PathMatch};

/// What a request is compared with; `T` is what a route leads to.
#[derive(Debug)]
pub struct Router<T> {
    exact_hosts: HashMap<Box<[u8]>, Table<T>>,
    /// By suffix, each with its leading dot: `.x.com`.
    wildcard_hosts: HashMap<Box<[u8]>, Table<T>>,
    every_host: Table<T>,
}

#[derive(Debug)]
struct Table<T> {
    exact: HashMap<Box<[u8]>, T>,
    root: Node<T>,
    regexes: Vec<(Regex, T)>,
}

/// A segment of some prefixes.
#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<[u8]>, Self>,
    /// The route for `/segment`: this path itself and all below.
    here: Option<Prefix<T>>,
    /// The route for `/segment/`: only what is below.
    below: Option<Prefix<T>>,
}

#[derive(Clone, Debug)]
struct Prefix<T> {
    is_final: bool,
    target: T,
}

/// What a request found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found<'r, T> {
    /// Its route.
    Route(&'r T),
    /// The route of the path with a slash at its end, where the path without one has none.
    WithSlash(&'r T),
}

impl<T: Clone> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Router<T> {
    /// No routes.
    pub fn new() -> Self {
        Self {
            exact_hosts: HashMap::new(),
            wildcard_hosts: HashMap::new(),
            every_host: Table::new(),
        }
    }

    /// Adds a route; the order of calls is the order of regexes.
    pub fn add<'h>(
        &mut self,
        path: &PathMatch,
        hosts: impl ExactSizeIterator<Item = &'h HostMatch>,
        target: &T,
    ) {
        if hosts.len() == 0 {
            return self.every_host.add(path, target.clone());
        }
        for host in hosts {
            let (tables, name) = match host {
                HostMatch::Exact(name) => (&mut self.exact_hosts, name),
                HostMatch::Wildcard(suffix) => (&mut self.wildcard_hosts, suffix),
            };
            tables
                .entry(name.as_bytes().into())
                .or_insert_with(Table::new)
                .add(path, target.clone());
        }
    }
}

impl<T> Router<T> {
    /// The route for `host`, in lower case and without port, and `path`, decoded and resolved.
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<Found<'_, T>> {
        if let Some(found) = self
            .exact_hosts
            .get(host)
            .and_then(|table| table.find(path))
        {
            return Some(found);
        }
        if !self.wildcard_hosts.is_empty() {
            for dot in memchr::memchr_iter(b'.', host).filter(|dot| *dot > 0) {
                if let Some(found) = self
                    .wildcard_hosts
                    .get(&host[dot..])
                    .and_then(|table| table.find(path))
                {
                    return Some(found);
                }
            }
        }
        self.every_host.find(path)
    }
}

impl<T> Table<T> {
    fn new() -> Self {
        Self {
            exact: HashMap::new(),
            root: Node::new(),
            regexes: Vec::new(),
        }
    }

    fn add(&mut self, path: &PathMatch, target: T) {
        match path {
            PathMatch::Exact(path) => drop(self.exact.insert(path.as_bytes().into(), target)),
            PathMatch::Regex(regex) => self.regexes.push((regex.clone(), target)),
            PathMatch::Prefix { path, is_final } => self.root.add(
                path.as_bytes(),
                Prefix {
                    is_final: *is_final,
                    target,
                },
            ),
        }
    }

    fn find(&self, path: &[u8]) -> Option<Found<'_, T>> {
        if !self.exact.is_empty()
            && let Some(target) = self.exact.get(path)
        {
            return Some(Found::Route(target));
        }
        let (prefix, with_slash) = self.root.longest(path);
        if let Some(with_slash) = with_slash {
            return Some(Found::WithSlash(&with_slash.target));
        }
        let target = match prefix {
            Some(prefix) if prefix.is_final => Some(&prefix.target),
            Some(prefix) => self.first_regex(path).or(Some(&prefix.target)),
            None => self.first_regex(path),
        };
        target.map(Found::Route)
    }

    fn first_regex(&self, path: &[u8]) -> Option<&T> {
        if self.regexes.is_empty() {
            return None;
        }
        let text = String::from_utf8_lossy(path);
        self.regexes
            .iter()
            .find(|(regex, _)| regex.is_match(&text))
            .map(|(_, target)| target)
    }
}

impl<T> Node<T> {
    fn new() -> Self {
        Self {
            children: HashMap::new(),
            here: None,
            below: None,
        }
    }

    fn add(&mut self, path: &[u8], prefix: Prefix<T>) {
        let mut node = self;
        let ends_in_slash = path.ends_with(b"/");
        for segment in path
            .split(|b| *b == b'/')
            .filter(|segment| !segment.is_empty())
        {
            node = node
                .children
                .entry(segment.into())
                .or_insert_with(Self::new);
        }
        if ends_in_slash {
            node.below = Some(prefix);
        } else {
            node.here = Some(prefix);
        }
    }

    /// The longest prefix of `path`; and the one that `path` itself lacks only the final slash of.
    fn longest(&self, path: &[u8]) -> (Option<&Prefix<T>>, Option<&Prefix<T>>) {
        let mut longest = None;
        let mut node = self;
        let mut rest = path.strip_prefix(b"/").unwrap_or(path);
        loop {
            // Here `rest` follows a slash.
            longest = node.below.as_ref().or(longest);
            let (segment, after) = match memchr::memchr(b'/', rest) {
                Some(slash) => (&rest[..slash], Some(&rest[slash + 1..])),
                None => (rest, None),
            };
            let Some(child) = node.children.get(segment) else {
                return (longest, None);
            };
            longest = child.here.as_ref().or(longest);
            match after {
                Some(after) => (node, rest) = (child, after),
                None => {
                    return (
                        longest,
                        child.below.as_ref().filter(|_| child.here.is_none()),
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(path: &str) -> PathMatch {
        PathMatch::Prefix {
            path: path.to_owned(),
            is_final: false,
        }
    }

    fn router(routes: &[(&str, &[HostMatch])]) -> Router<String> {
        let mut router = Router::new();
        for (path, hosts) in routes {
            let matching = match path.split_at(1) {
                ("=", path) => PathMatch::Exact(path.to_owned()),
                ("~", regex) => PathMatch::Regex(Regex::new(regex).unwrap()),
                ("^", path) => PathMatch::Prefix {
                    path: path.to_owned(),
                    is_final: true,
                },
                _ => prefix(path),
            };
            router.add(&matching, hosts.iter(), &(*path).to_owned());
        }
        router
    }

    fn find<'r>(router: &'r Router<String>, host: &str, path: &str) -> &'r str {
        match router.find(host.as_bytes(), path.as_bytes()) {
            Some(Found::Route(name)) => name,
            Some(Found::WithSlash(_)) => "redirect",
            None => "none",
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let router = router(&[
            ("/", &[]),
            ("/app_a/", &[]),
            ("/app_a/deep/er/", &[]),
            ("/plain", &[]),
        ]);
        for (path, route) in [
            ("/", "/"),
            ("/other", "/"),
            ("/app_a/", "/app_a/"),
            ("/app_a/x", "/app_a/"),
            ("/app_a", "redirect"),
            ("/app_ab/x", "/"),
            ("/app_a/deep/", "/app_a/"),
            ("/app_a/deep/er/x", "/app_a/deep/er/"),
            ("/app_a/deep/er", "redirect"),
            ("/plain", "/plain"),
            ("/plain/x", "/plain"),
            ("/plainer", "/"),
        ] {
            assert_eq!(find(&router, "h", path), route, "{path}");
        }
    }

    #[test]
    fn a_path_that_no_prefix_covers_has_no_route() {
        assert_eq!(find(&router(&[("/a/", &[])]), "h", "/b"), "none");
    }

    #[test]
    fn a_path_with_and_without_slash_may_be_two_routes() {
        let router = router(&[("/a", &[]), ("/a/", &[])]);
        assert_eq!(
            (find(&router, "h", "/a"), find(&router, "h", "/a/x")),
            ("/a", "/a/")
        );
    }

    #[test]
    fn the_order_is_nginx_s() {
        let router = router(&[
            ("/a/", &[]),
            ("^/f/", &[]),
            ("~^/(a|f|x)/.*\\.php$", &[]),
            ("~\\.php$", &[]),
            ("=/a/exact.php", &[]),
        ]);
        for (path, route) in [
            ("/a/exact.php", "=/a/exact.php"),
            ("/a/b.php", "~^/(a|f|x)/.*\\.php$"),
            ("/f/b.php", "^/f/"),
            ("/a/b.html", "/a/"),
            ("/z.php", "~\\.php$"),
            ("/z.html", "none"),
        ] {
            assert_eq!(find(&router, "h", path), route, "{path}");
        }
    }

    #[test]
    fn the_host_decides_first_and_passes_on_what_it_does_not_know() {
        let exact = [HostMatch::Exact("hq.x.com".to_owned())];
        let wide = [HostMatch::Wildcard(".x.com".to_owned())];
        let wider = [HostMatch::Wildcard(".com".to_owned())];
        let router = router(&[
            ("/a/", &exact),
            ("/b/", &wide),
            ("/c/", &wider),
            ("=/b/", &[]),
            ("/d/", &[]),
        ]);
        for (host, path, route) in [
            ("hq.x.com", "/a/", "/a/"),
            ("hq.x.com", "/b/", "/b/"),
            ("b.x.com", "/a/", "none"),
            ("deep.b.x.com", "/b/", "/b/"),
            ("x.com", "/b/", "=/b/"),
            ("x.com", "/c/", "/c/"),
            ("hq.x.com", "/d/", "/d/"),
        ] {
            assert_eq!(find(&router, host, path), route, "{host}{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_tree_finds_what_a_plain_search_finds(routes in proptest::collection::btree_set("(/[ab]{1,2}){0,3}/?", 1..10), path in "(/[ab]{1,2}){0,4}/?") {
            let routes: Vec<_> = routes.into_iter().filter(|route| !route.is_empty()).collect();
            let mut router = Router::new();
            for route in &routes {
                router.add(&prefix(route), [].iter(), route);
            }
            let path = if path.is_empty() { "/".to_owned() } else { path };
            let is_prefix = |route: &&String| path == **route || path.strip_prefix(route.as_str()).is_some_and(|rest| route.ends_with('/') || rest.starts_with('/'));
            let longest = routes.iter().filter(is_prefix).max_by_key(|route| route.len());
            let with_slash = routes.iter().find(|route| !routes.contains(&path) && **route == format!("{path}/"));
            let expected = with_slash.map(Found::WithSlash).or_else(|| longest.map(Found::Route));
            assert_eq!(router.find(b"h", path.as_bytes()), expected);
        }
    }
}
