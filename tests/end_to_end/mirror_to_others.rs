//! The flat prefix serves other clients over HTTP: a stock freshclam, and another updater of ours.

use std::{fs, process::Stdio};

use nacre_aws::S3Definitions;
use nacre_clamav::{
    builder::{eicar_signature, shared_data},
    signing::SigningKeys,
};
use nacre_core::port::{DefinitionsStore, WriteCondition};
use serde_json::json;

use nacre_test_support::deployed::{World, daily_builder, main_database, published};

/// Whom the bucket's policy lets read the flat prefix.
const LOOPBACK: (&str, &str) = ("MirrorClients", "127.0.0.1/32");

fn flat_url(world: &World) -> String {
    format!("{}/{}/clamav_defs", world.stack.endpoint(), world.stack.output("DefinitionsBucket"))
}

/// Fetches a file as anybody would; answers the status and the body.
async fn get(url: &str) -> (u16, Vec<u8>) {
    let client = reqwest::Client::builder().no_proxy().timeout(nacre_test_support::deployed::DEADLINE).build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn allowed_clients_read_the_flat_prefix_and_get_404_for_what_is_missing() {
    let world = World::ready(&[LOOPBACK]).await;
    let (older, newer) = (daily_builder(1, false), daily_builder(2, true));
    let cdiff = newer.cdiff_from(&older, SigningKeys::fixed());
    world.mirror.put("daily-2.cdiff", cdiff.clone());
    world.mirror.put("daily.cvd", newer.build(SigningKeys::fixed()));
    assert_eq!(published(&world.update().await), 2);

    let url = flat_url(&world);
    assert_eq!(get(&format!("{url}/main.cvd")).await, (200, main_database()));
    assert_eq!(get(&format!("{url}/daily-2.cdiff")).await, (200, cdiff));
    assert_eq!(get(&format!("{url}/daily.cld")).await, (200, newer.build_cld(SigningKeys::fixed())));
    for missing in ["daily.cvd", "daily-3.cdiff", "bytecode.cvd", "daily-2.cdiff.sign"] {
        assert_eq!(get(&format!("{url}/{missing}")).await.0, 404, "{missing}");
    }
    let pointer = url.replace("/clamav_defs", "/nacre/current.json");
    assert_eq!(get(&pointer).await.0, 403, "nothing but the flat prefix is for all");
    world.end().await;
}

#[tokio::test]
async fn an_updater_of_ours_takes_another_ones_flat_prefix_for_its_mirror() {
    let first = World::ready(&[LOOPBACK]).await;
    let second = World::empty(&[("DefinitionsMirror", &flat_url(&first))]).await;
    assert_eq!(published(&second.update().await), 1);
    first
        .mirror
        .put("daily-2.cdiff", daily_builder(2, true).cdiff_from(&daily_builder(1, false), SigningKeys::fixed()));
    first.mirror.put("daily.cvd", daily_builder(2, true).build(SigningKeys::fixed()));
    assert_eq!(published(&first.update().await), 2);
    assert_eq!(published(&second.update().await), 2);
    let store = S3Definitions::new(second.stack.sdk_config(), second.stack.output("DefinitionsBucket"));
    let cdiff = store.read("clamav_defs/daily-2.cdiff", 1 << 20).await;
    assert!(cdiff.is_ok(), "it came by its CDIFF: {cdiff:?}");
    let held = second.update().await;
    assert_eq!((published(&held), &held.payload["held"]), (2, &json!([])));
    first.end().await;
    second.end().await;
}

/// A stock freshclam with a directory of its own.
struct Freshclam {
    home: tempfile::TempDir,
}

impl Freshclam {
    /// One that asks this mirror in the way of this setting.
    fn new(setting: &str, mirror: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let user = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
        fs::create_dir(home.path().join("databases")).unwrap();
        // Without DNS it asks the mirror itself what is new.
        let settings = format!(
            "DatabaseDirectory {}\nDatabaseOwner {user}\n{setting} {mirror}\nDNSDatabaseInfo no\nMaxAttempts 1\nConnectTimeout 10\n",
            home.path().join("databases").display(),
        );
        fs::write(home.path().join("freshclam.conf"), settings).unwrap();
        Self { home }
    }

    /// Updates, and answers the version that is there after, and all that was printed.
    async fn update(&self) -> (u32, String) {
        let output = tokio::time::timeout(
            nacre_test_support::deployed::DEADLINE,
            tokio::process::Command::new("freshclam")
                .args(["--verbose", "--stdout", "--no-warnings", "--update-db=test"])
                .arg(format!("--config-file={}", self.home.path().join("freshclam.conf").display()))
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .stdin(Stdio::null())
                .kill_on_drop(true)
                .output(),
        );
        let output = output.await.unwrap().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{printed}");
        let file = self.file("test.cld").or_else(|| self.file("test.cvd")).expect("a database");
        let header = String::from_utf8_lossy(&file[..512]).into_owned();
        (header.split(':').nth(2).unwrap().parse().unwrap(), printed)
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.home.path().join("databases").join(name)).ok()
    }
}

#[tokio::test]
async fn a_stock_freshclam_updates_fully_and_incrementally() {
    // Databases that are signed by ClamAV's own keys, which no builder of ours can make and stock clients insist on.
    let Some(data) = shared_data("freshclam") else { return };
    let file = |name: &str| fs::read(data.join(name)).unwrap();
    let parameters = [LOOPBACK, ("TrustAnchors", ""), ("Databases", "test"), ("ServeCvds", "True")];
    let world = World::empty(&parameters).await;
    let store = S3Definitions::new(world.stack.sdk_config(), world.stack.output("DefinitionsBucket"));
    // These databases know no EICAR, without which no set is published.
    store.write("nacre/custom/eicar.ndb", eicar_signature().into(), &[], WriteCondition::Absent).await.unwrap();
    world.mirror.put("test.cvd", file("test-1.cvd"));
    assert_eq!(published(&world.update().await), 1);

    let clients = ["DatabaseMirror", "PrivateMirror"].map(|setting| Freshclam::new(setting, &flat_url(&world)));
    for client in &clients {
        assert_eq!(client.update().await.0, 1);
        assert_eq!(client.file("test.cvd"), Some(file("test-1.cvd")), "byte for byte what ClamAV published");
    }

    world.mirror.put("test-2.cdiff", file("test-2.cdiff"));
    world.mirror.put("test-3.cdiff", file("test-3.cdiff"));
    world.mirror.put("test.cvd", file("test-3.cvd"));
    assert_eq!(published(&world.update().await), 2);
    for client in &clients {
        let (version, printed) = client.update().await;
        assert_eq!(version, 3, "{printed}");
        assert!(client.file("test.cvd").is_none() && client.file("test.cld").is_some(), "it patched: {printed}");
        let (version, printed) = client.update().await;
        assert!(version == 3 && printed.contains("up-to-date"), "{printed}");
    }
    // Both patched the same base, so they came to the same members.
    let ours = store.read("clamav_defs/test.cld", 1 << 20).await.unwrap().bytes;
    let theirs = clients[0].file("test.cld").unwrap();
    assert_eq!(members(&ours), members(&theirs));
    world.end().await;
}

#[tokio::test]
async fn the_updater_itself_updates_by_a_stock_freshclam() {
    let Some(data) = shared_data("freshclam") else { return };
    let file = |name: &str| fs::read(data.join(name)).unwrap();
    let parameters =
        [("Fetcher", "freshclam"), ("PrivateMirror", "False"), ("TrustAnchors", ""), ("Databases", "test")];
    let world = World::empty(&parameters).await;
    let store = S3Definitions::new(world.stack.sdk_config(), world.stack.output("DefinitionsBucket"));
    store.write("nacre/custom/eicar.ndb", eicar_signature().into(), &[], WriteCondition::Absent).await.unwrap();
    world.mirror.put("test.cvd", file("test-1.cvd"));
    assert_eq!(published(&world.update().await), 1);
    world.mirror.put("test-2.cdiff", file("test-2.cdiff"));
    world.mirror.put("test-3.cdiff", file("test-3.cdiff"));
    world.mirror.put("test.cvd", file("test-3.cvd"));
    assert_eq!(published(&world.update().await), 2);
    assert_eq!((world.mirror.requests("test-2.cdiff"), world.mirror.requests("test-3.cdiff")), (1, 1));
    // Our own client would have put them there.
    assert!(store.read("clamav_defs/test-3.cdiff", 1 << 20).await.is_err());
    let cld = store.read("clamav_defs/test.cld", 1 << 20).await.unwrap().bytes;
    assert!(members(&cld).contains_key("test.info"));
    world.end().await;
}

/// The members of a CLD, by name.
fn members(cld: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    use nacre_clamav::{archive::ArchiveLimits, cvd::Cvd, database::ContainerKind};
    let unpacked = Cvd::parse_as(ContainerKind::Cld, cld).unwrap().unpack(ArchiveLimits::default()).unwrap();
    unpacked.members.into_iter().map(|(name, bytes)| (name, bytes.into_owned())).collect()
}
