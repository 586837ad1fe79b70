//! Changing a pool's list of servers while it serves.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    edits::{Addition, Edit, EditError, Edits, What},
    member::Member,
    order::NoSuchServer,
    pool::{NextSet, Pool},
    resolve::Resolver,
};
use crate::{
    config::{self, ServerAddress},
    telemetry::{EventKind, Severity},
};

/// An edit that can be made, and what it makes of the list.
#[derive(Clone, Debug)]
pub struct Edited {
    edit: Edit,
    edits: Edits,
    /// The pool as it then is.
    pub config: config::Pool,
}

/// Why an edit is not made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotEdited {
    /// It makes no sense.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// There is no such server.
    #[error(transparent)]
    NoSuchServer(#[from] NoSuchServer),
}

impl Pool {
    /// The pool as the file and operators say it is.
    pub fn edited_config(&self) -> config::Pool {
        self.edits().apply(self.config())
    }

    /// What operators have changed in it.
    pub fn edits(&self) -> Arc<Edits> {
        self.set.load().common().succession.edits.load_full()
    }

    /// What becomes of it if `by` has `what` be changed about `server`; `force`: even if nobody is left.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn edit(
        &self,
        server: &str,
        what: What,
        by: &str,
        force: bool,
    ) -> Result<Edited, NotEdited> {
        let current = self.edited_config();
        let server = match what {
            What::Added(ref addition) => self.newcomer(server, addition, &current)?,
            What::Removed | What::Set(_) => self.authority_of(server)?,
        };
        let edit = Edit {
            server,
            what,
            by: by.to_owned(),
            at: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
        };
        let edits = self.edits().with(edit.clone(), self.config());
        let config = edits.apply(self.config());
        if config.servers.is_empty() && !force {
            return Err(NotEdited::Edit(EditError::Last {
                pool: self.name().to_owned(),
                server: edit.server,
            }));
        }
        Ok(Edited {
            edit,
            edits,
            config,
        })
    }

    /// What the file would call a server that it does not have.
    fn newcomer(
        &self,
        server: &str,
        addition: &Addition,
        current: &config::Pool,
    ) -> Result<String, EditError> {
        let parsed: Result<ServerAddress, _> = server.parse();
        let address = parsed.map_err(|help| EditError::NoAddress {
            server: server.to_owned(),
            help,
        })?;
        let set = self.set.load();
        let is_address = |member: &Member| ServerAddress::Ip(member.peer.address()) == address;
        if current.servers.iter().any(|s| s.address.value == address)
            || set.members().any(is_address)
        {
            return Err(EditError::AlreadyThere {
                pool: self.name().to_owned(),
                server: address.to_string(),
            });
        }
        let mut in_file = self.config().servers.iter();
        if in_file.any(|s| s.address.value == address) && addition.is_more_than_shares() {
            return Err(EditError::NamedByFile {
                server: address.to_string(),
            });
        }
        if addition.backup && self.config().balance.is_mapping() {
            return Err(EditError::NoBackup {
                pool: self.name().to_owned(),
            });
        }
        Ok(address.to_string())
    }

    /// The members that it has with `edited`.
    pub fn prepare_edited(&self, edited: &Edited, resolver: &Resolver) -> NextSet {
        self.build(&edited.config, resolver)
    }

    /// Has `next` be chosen from now on, as `edited` says.
    pub fn adopt_edited(&self, edited: Edited, next: &NextSet) {
        let Edited { edit, edits, .. } = edited;
        let succession = Arc::clone(&self.set.load().common().succession);
        succession.edits.store(Arc::new(edits));
        self.take_up(next);
        let kind = match edit.what {
            What::Added(_) => EventKind::ServerAdded,
            What::Removed => EventKind::ServerRemoved,
            What::Set(_) => EventKind::ServerChanged,
        };
        let text = format!("pool {}: {edit}", self.name());
        self.tell(Severity::Info, kind, Some(&edit.server), text);
    }

    /// Takes up what operators had changed before the start. Names are looked up in `resolver`, which must know them.
    pub fn restore(&self, edits: &Edits, resolver: &Resolver) {
        let edits = edits.that_matter(self.config());
        let next = self.build(&edits.apply(self.config()), resolver);
        let succession = Arc::clone(&self.set.load().common().succession);
        for edit in edits.iter() {
            tracing::info!("pool {}: {edit}", self.name());
        }
        succession.edits.store(Arc::new(edits));
        self.set.store(next.0);
    }
}
