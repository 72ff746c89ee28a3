//! The rows of a data folder, read beside the daemon or after it.
//!
//! Owns a connection and the runtime that it needs. Never writes a row.

use std::path::Path;

use stillframe::model::ids::JobId;
use stillframe::service::store::Store;
use stillframe::service::store::rows::{Counts, DeliveryRow, Job, PointRow, SheetRow};
use tokio::runtime::Runtime;

/// More rows than any test makes.
const ALL: u32 = 100_000;

/// The store of a data folder.
pub struct Rows {
    runtime: Runtime,
    store: Store,
}

impl Rows {
    pub fn open(data: &Path) -> Rows {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::open(&data.join("stillframe.db"))).unwrap();
        Rows { runtime, store }
    }

    /// Every job, in no order.
    pub fn jobs(&self) -> Vec<Job> {
        self.runtime.block_on(self.store.jobs(None, ALL)).unwrap()
    }

    #[track_caller]
    pub fn job(&self, id: &str) -> Job {
        let job = self.runtime.block_on(self.store.job(None, &JobId::from(id))).unwrap();
        job.unwrap_or_else(|| panic!("job {id} is lost"))
    }

    /// In asked order.
    pub fn points(&self, id: &JobId) -> Vec<PointRow> {
        self.runtime.block_on(self.store.points(id)).unwrap()
    }

    pub fn sheets(&self, id: &JobId) -> Vec<SheetRow> {
        self.runtime.block_on(self.store.sheets(id)).unwrap()
    }

    /// The whole outbox.
    pub fn deliveries(&self) -> Vec<DeliveryRow> {
        self.runtime.block_on(self.store.deliveries(None, ALL)).unwrap()
    }

    pub fn counts(&self) -> Counts {
        self.runtime.block_on(self.store.counts()).unwrap()
    }
}
