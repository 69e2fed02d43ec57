//! The dead-letter queues, and where what is in them came from.

use aws_sdk_sqs::{Client, types::QueueAttributeName};
use clap::ValueEnum;
use nacre_core::event::{PLAN_ATTRIBUTE, RescanKind};

use super::{letter::Letter, letters::DlqError};
use crate::deployment::{Deployment, Part};

/// A dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeadLetterQueue {
    /// New objects
    Scan,
    /// Rescans
    Rescan,
    /// Segments of passes
    Pass,
    /// Announcements of new definitions
    Announcement,
}

impl DeadLetterQueue {
    pub(crate) const ALL: [Self; 4] = [Self::Scan, Self::Rescan, Self::Pass, Self::Announcement];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Rescan => "rescan",
            Self::Pass => "pass",
            Self::Announcement => "announcement",
        }
    }

    pub(crate) fn part(self) -> Part {
        match self {
            Self::Scan => Part::ScanDeadLetters,
            Self::Rescan => Part::RescanDeadLetters,
            Self::Pass => Part::PassDeadLetters,
            Self::Announcement => Part::AnnouncementDeadLetters,
        }
    }

    /// What it means that something is in it.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Scan => "new objects without a scan, or with tags and result missing",
            Self::Rescan => "objects with an older verdict, until a pass requests them again",
            Self::Pass => "segments of passes that stopped",
            Self::Announcement => "announcements that the rescanner did not get",
        }
    }

    /// The functions whose logs say why.
    pub(super) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Scan => &["scanner"],
            Self::Rescan => &["scanner", "rescan"],
            Self::Pass | Self::Announcement => &["rescanner"],
        }
    }

    /// The queue that a message goes back to; `None` for an announcement, which came by no queue.
    pub(super) fn source(self, letter: &Letter) -> Option<Part> {
        match self {
            Self::Scan => Some(Part::ScanQueue),
            // Two queues have it in common. The function of rescans hands on what it cannot do.
            Self::Rescan if letter.attribute(PLAN_ATTRIBUTE) == Some(RescanKind::Full.name()) => {
                Some(Part::FullRescanQueue)
            }
            Self::Rescan => Some(Part::RescanQueue),
            Self::Pass => Some(Part::PassQueue),
            Self::Announcement => None,
        }
    }
}

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) visible: u64,
    pub(crate) in_flight: u64,
    pub(crate) delayed: u64,
}

impl Depth {
    pub(crate) fn all(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

/// How many messages a queue has, as far as SQS knows.
pub(crate) async fn depth(deployment: &Deployment, part: Part) -> Result<Depth, DlqError> {
    let url = deployment.name(part, None).await?;
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        QueueAttributeName::ApproximateNumberOfMessagesDelayed,
    ];
    let request = Client::new(&deployment.sdk).get_queue_attributes().queue_url(&url);
    let response = request.set_attribute_names(Some(names.to_vec())).send().await;
    let response =
        response.map_err(|error| DlqError::Queue { url, call: "GetQueueAttributes", source: error.into() })?;
    let [visible, in_flight, delayed] = names.map(|name| {
        let value = response.attributes().and_then(|attributes| attributes.get(&name));
        value.and_then(|value| value.parse().ok()).unwrap_or_default()
    });
    Ok(Depth { visible, in_flight, delayed })
}
