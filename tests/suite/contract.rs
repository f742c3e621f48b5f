//! The snippets of the contract, as they are written there.

use std::time::Duration;

use minijinja::{Environment, context};
use minijinja_cache::{Fragment, FragmentCache, Options};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Stands for a database.
struct Db;

#[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
struct User {
    id: u32,
    name: String,
}

fn load_bio(_: &Db, name: &str) -> Result<String, std::io::Error> {
    Ok(format!("{name} likes caches"))
}

fn load_users(_: &Db) -> Result<Vec<User>, std::io::Error> {
    Ok(vec![User { id: 7, name: "Ada".into() }])
}

async fn fetch() -> Result<String, std::io::Error> {
    Ok("news".into())
}

#[test]
#[cfg(feature = "watch")]
fn registering() -> Outcome {
    let folder = tempfile::tempdir()?;
    let cache = FragmentCache::builder().max_bytes(64 << 20).default_ttl(Duration::from_secs(300)).build()?;

    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    env.set_loader(cache.path_loader(folder.path())?);
    let watcher = cache.watch(folder.path())?;

    cache.add_template(&mut env, "hello.html", "{% cache 'hello' 60 %}Hi{% endcache %}")?;
    assert_eq!(env.get_template("hello.html")?.render(context! {})?, "Hi");
    drop(watcher);
    Ok(())
}

#[test]
fn from_handlers() -> Outcome {
    let (cache, db) = (FragmentCache::builder().build()?, Db);
    let mut env = Environment::new();
    cache.add_to_environment(&mut env);
    cache.add_template(&mut env, "user_info.html", "<b>{{ user.name }}</b>")?;
    let user = || context! { id => 7, name => "Ada" };

    let bio: Fragment =
        cache.get_or_set("bio_alice", Options::ttl(Duration::from_secs(300)), || load_bio(&db, "alice"))?;
    assert_eq!(bio, "alice likes caches");

    let html: Fragment =
        cache.get_or_set("user_info_alice", Options::ttl(Duration::from_secs(300)).markup(), || {
            env.get_template("user_info.html")?.render(context! { user => user() })
        })?;
    assert!(html.is_markup() && html == "<b>Ada</b>");

    let html: Fragment = cache.render(
        &env,
        "user_info.html",
        context! { user => user() },
        ("user_info", 7),
        Options::ttl(Duration::from_secs(300)).tag("user:1"),
    )?;
    assert!(html.is_markup());

    let users: Vec<User> = cache.get_or_set_value("all_users", Options::default(), || load_users(&db))?;
    assert_eq!(users[0].name, "Ada");

    let page = cache.scope().run(|| -> Outcome<String> {
        let user = load_users(&db)?.remove(0);
        Ok(env.get_template("user_info.html")?.render(context! { user => context! { name => user.name } })?)
    })?;
    assert_eq!(page, "<b>Ada</b>");

    cache.invalidate("all_users");
    cache.invalidate_tag("user:1");
    cache.invalidate_template("user_info.html");
    cache.clear();
    assert_eq!(cache.stats().invalidations, 4);
    Ok(())
}

#[tokio::test]
async fn from_asynchronous_handlers() -> Outcome {
    let cache = FragmentCache::builder().build()?;
    let html: Fragment = cache.get_or_set_async("news", Options::default(), async { fetch().await }).await?;
    assert_eq!(html, "news");
    let page = cache.scope().run_async(async { fetch().await }).await?;
    assert_eq!(page, "news");
    Ok(())
}

#[test]
#[cfg(feature = "axum")]
fn a_fragment_is_a_response_of_its_kind() -> Outcome {
    use axum::response::IntoResponse;
    let cache = FragmentCache::builder().build()?;
    for (options, kind) in [(Options::default(), "text/plain"), (Options::default().markup(), "text/html")] {
        let fragment = cache.get_or_set("k", options, || Ok::<_, std::convert::Infallible>("x"))?;
        let response = fragment.into_response();
        assert!(response.headers()["content-type"].to_str()?.starts_with(kind));
    }
    Ok(())
}
