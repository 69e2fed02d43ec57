//! Updates databases by a stock freshclam: lays out what is published, lets it update that, and takes over what it left.

use std::{collections::BTreeMap, path::Path, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::database::{ContainerKind, DatabaseName, DatabaseVersion};
use nacre_core::{
    generation::published::{Published, read_body},
    port::{DefinitionsStore, Topic},
    telemetry::error_chain,
};

use super::{UpdateError, Updater};
use crate::{
    database_update::{Adopted, DatabaseUpdate, DatabaseUpdateError, MAX_SIGN_BYTES},
    freshclam::{Configuration, DataFile, Freshclam, FreshclamError, Home, announced_version},
    mirror::{FORBIDDEN_COOL_DOWN, Mirror, MirrorError, Mirrors},
    plan::{KeepReason, Step, first_step},
    publish::Publisher,
    state::UpdaterState,
};

/// Longest time that a mirror can silence us for, as our own client has it.
const MAX_COOL_DOWN: TimeDelta = TimeDelta::days(7);

/// The updates of databases, and until when the mirrors are to be left alone.
type Updates = (BTreeMap<DatabaseName, DatabaseUpdate>, Option<DateTime<Utc>>);

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Updates every database; second, until when the mirrors want to be left alone.
    pub(super) async fn update_by_freshclam(
        &self,
        freshclam: &Freshclam,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        published: &Published,
        state: &UpdaterState,
        scratch: &Path,
    ) -> Result<Updates, UpdateError> {
        // What the DNS record says is the newest needs no run, nor its hundreds of megabytes on the disk.
        let announced = self.announced().await;
        let (mut updates, wanted) = self.up_to_date(published, &announced);
        if wanted.is_empty() {
            return Ok((updates, None));
        }
        let mut home = Home::new(scratch)?;
        self.lay_out(&mut home, published, state, &wanted).await?;
        let (mut round, mut cooling, mut is_last) = (wanted, None, false);
        // Both runs share the time of one: what is left belongs to the test and the publication.
        let started = Instant::now();
        while !round.is_empty() && cooling.is_none() {
            let printed;
            let time_limit = freshclam.time_limit.saturating_sub(started.elapsed());
            let freshclam = &Freshclam { time_limit, ..freshclam.clone() };
            (printed, cooling) = self.run_freshclam(freshclam, bucket, mirrors, &home, &round).await?;
            let mut again = Vec::new();
            for name in round {
                let announced = announced_version(&printed, name).max(announced.get(name).copied());
                match self.take_over(&home, mirrors, published, name, announced, scratch)? {
                    Taken::Update(update) => drop(updates.insert(name.clone(), update)),
                    Taken::Nothing if cooling.is_some() => {}
                    Taken::Nothing => return Err(missing(name)),
                    Taken::Misled(error) if is_last => return Err(error.into()),
                    Taken::Misled(error) => {
                        let database = name.as_str();
                        tracing::warn!(database, cause = error_chain(&error), "patched database is not valid");
                        home.forget(name)?;
                        again.push(name);
                    }
                }
            }
            // Without a base there are no CDIFFs to mislead it again.
            (round, is_last) = (again, true);
        }
        home.remove();
        Ok((updates, cooling))
    }

    /// Runs freshclam for some databases; returns what it printed, and until when the mirrors are to be left alone.
    async fn run_freshclam(
        &self,
        freshclam: &Freshclam,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        home: &Home,
        databases: &[&DatabaseName],
    ) -> Result<(String, Option<DateTime<Utc>>), UpdateError> {
        let run = freshclam.run(home, &self.configuration(databases)).await;
        let data = home.data().map(|data| data.until_at_most(self.now + MAX_COOL_DOWN));
        // Whatever came of the run: it is to be the same client in the next one, and to know whom to leave alone.
        if let Some(text) = data.as_ref().map(DataFile::to_text) {
            let remember = |state: &mut UpdaterState| state.freshclam_data = Some(text.clone());
            bucket.remember(remember).await?;
        }
        let until = data.and_then(|data| data.retry_after()).filter(|until| *until > self.now);
        let cooling = match &run {
            Err(FreshclamError::Refused { .. }) => until.or(Some(self.now + FORBIDDEN_COOL_DOWN)),
            _ => until,
        };
        let Some(until) = cooling else { return Ok((run?, None)) };
        mirrors.leave_alone(until);
        let printed = run.unwrap_or_else(|error| {
            tracing::warn!(cause = error_chain(&error), "freshclam was refused");
            String::new()
        });
        Ok((printed, cooling))
    }

    /// The updates of the databases that are as announced, and the others.
    fn up_to_date(
        &self,
        published: &Published,
        announced: &BTreeMap<DatabaseName, DatabaseVersion>,
    ) -> (BTreeMap<DatabaseName, DatabaseUpdate>, Vec<&DatabaseName>) {
        let anchor = self.config.trust_anchors.identity();
        let (mut updates, mut wanted) = (BTreeMap::new(), Vec::new());
        for name in &self.config.databases {
            let reached = published.entry(name.as_str(), &anchor).map(|entry| entry.version);
            match announced.get(name).map(|version| first_step(reached, *version)) {
                Some(Step::Keep(reason)) => {
                    updates.insert(name.clone(), DatabaseUpdate::default().finished(name, reason));
                }
                _ => wanted.push(name),
            }
        }
        (updates, wanted)
    }

    async fn lay_out(
        &self,
        home: &mut Home,
        published: &Published,
        state: &UpdaterState,
        wanted: &[&DatabaseName],
    ) -> Result<(), UpdateError> {
        let anchor = self.config.trust_anchors.identity();
        for name in wanted {
            let Some(entry) = published.entry(name.as_str(), &anchor) else { continue };
            // What nobody signed is none of freshclam's.
            if entry.kind == ContainerKind::Cud {
                continue;
            }
            match read_body(self.store, entry).await {
                Ok(body) => home.lay_out(&entry.file_name(), &body)?,
                Err(error) if error.is_lost_body() => {
                    tracing::error!(cause = error_chain(&error), "published database lost; downloading the whole");
                }
                Err(source) => {
                    return Err(DatabaseUpdateError::Published { database: name.to_string(), source }.into());
                }
            }
        }
        if let Some(data) = state.freshclam_data.as_deref().and_then(DataFile::from_text) {
            home.lay_out_data(&data)?;
        }
        Ok(())
    }

    fn configuration<'b>(&'b self, databases: &[&'b DatabaseName]) -> Configuration<'b> {
        let address = |mirror: &'b Mirror| match mirror {
            Mirror::Http(address) => Some(address.as_str()),
            // The settings refuse one.
            Mirror::Bucket(_) => None,
        };
        Configuration {
            mirrors: self.config.mirrors.iter().filter_map(address).collect(),
            private: self.config.private_mirror,
            dns_record: self.config.dns_record.as_deref(),
            databases: databases.to_vec(),
            // Only their makers can make CVDs: whoever wants to serve them must download them.
            whole_cvds: self.config.serve_cvds,
            max_database_bytes: self.config.max_database_bytes,
        }
    }

    /// Takes over what freshclam left of a database.
    fn take_over(
        &self,
        home: &Home,
        mirrors: &Mirrors<'_, Store>,
        published: &Published,
        name: &DatabaseName,
        announced: Option<DatabaseVersion>,
        scratch: &Path,
    ) -> Result<Taken, UpdateError> {
        let reached = published.entry(name.as_str(), &self.config.trust_anchors.identity()).map(|entry| entry.version);
        let kept =
            |found, reached| Taken::Update(DatabaseUpdate::default().finished(name, reason(found, reached, announced)));
        let Some(left) = home.left(name)? else {
            return Ok(reached.map_or(Taken::Nothing, |reached| kept(reached, reached)));
        };
        // Of private mirrors freshclam takes whole files only.
        let patched = left.kind == ContainerKind::Cld && !self.config.private_mirror;
        let known = reached.filter(|reached| !left.is_new || left.version.is_some_and(|version| version <= *reached));
        // CDIFFs that lead nowhere may leave the old `.info`, and so its version, in what they made something else of.
        if let Some(reached) = known.filter(|_| !(left.is_new && patched)) {
            return Ok(kept(left.version.unwrap_or(reached), reached));
        }
        let file = left.read(self.config.max_database_bytes)?;
        let adopted = Adopted { kind: left.kind, file, patched };
        let signature = |file: &str| home.signature(file, MAX_SIGN_BYTES);
        let (staged, signed_files) =
            match self.database_updater(mirrors, scratch, false).adopt(name, adopted, signature) {
                Ok(adopted) => adopted,
                Err(error) if patched => return Ok(Taken::Misled(error)),
                Err(error) => return Err(error.into()),
            };
        if let Some(reached) = known {
            return Ok(kept(reached, reached));
        }
        let version = staged.entry.version;
        let update = DatabaseUpdate { staged: Some(staged), signed_files, ..DatabaseUpdate::default() };
        Ok(Taken::Update(update.finished(name, reason(version, version, announced))))
    }
}

/// What was taken over of a database.
enum Taken {
    Update(DatabaseUpdate),
    /// There is none.
    Nothing,
    /// CDIFFs made something of it that its makers did not sign: freshclam does not look.
    Misled(DatabaseUpdateError),
}

/// Why there is nothing more to do, once a version is there.
fn reason(found: DatabaseVersion, reached: DatabaseVersion, announced: Option<DatabaseVersion>) -> KeepReason {
    match announced.filter(|announced| *announced > reached) {
        Some(advertised) => KeepReason::Announced { advertised },
        // A stale mirror never rolls us back.
        None if found < reached => KeepReason::Stale { served: found },
        None => KeepReason::Newest,
    }
}

fn missing(database: &DatabaseName) -> UpdateError {
    let source = MirrorError::Missing { file: format!("{database}.cvd") };
    DatabaseUpdateError::Mirror { database: database.to_string(), source }.into()
}
