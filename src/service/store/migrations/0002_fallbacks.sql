-- Devices that gave up on a job before the CPU took over. NULL where none did, and in rows of releases before.
ALTER TABLE jobs ADD COLUMN fallbacks TEXT
    CHECK (fallbacks IS NULL OR json_valid(fallbacks));      -- list of {from, reason, points}, row format in sqlite/format.rs
