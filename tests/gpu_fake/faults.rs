//! faults
pub fn without_a_driver_there_is_no_device() {}
pub fn a_clip_that_comes_out_wrong_shuts_its_kind() {}
pub fn each_fault_ends_with_its_reason_and_the_cpu_does_the_rest() {}
pub fn a_damaged_stream_is_not_the_devices_fault() {}
pub fn after_a_refusal_nothing_is_taken() {}
pub fn a_hundred_batches_leave_nothing_behind() {}
