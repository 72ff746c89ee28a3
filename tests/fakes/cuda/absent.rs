//! What FFmpeg wants to find when it loads the libraries and never calls while it decodes.
//!
//! Owns the names. Never does anything: each returns 801, "not supported", and is seen in the log.

use std::ffi::c_int;

use crate::{Kind, NOT_SUPPORTED, call, control};

macro_rules! absent {
    ($($symbol:ident)+) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $symbol() -> c_int {
            call(control::plain(stringify!($symbol)), Kind::Work, |_| NOT_SUPPORTED)
        }
    )+};
}

absent! {
    cuMemAllocPitch_v2 cuMemAllocManaged cuMemsetD8Async cuMemcpy cuMemcpyAsync
    cuMemcpyHtoD_v2 cuMemcpyHtoDAsync_v2 cuMemcpyDtoH_v2 cuMemcpyDtoHAsync_v2 cuMemcpyDtoD_v2 cuMemcpyDtoDAsync_v2
    cuDevicePrimaryCtxRetain cuDevicePrimaryCtxRelease cuDevicePrimaryCtxSetFlags cuDevicePrimaryCtxGetState
    cuDevicePrimaryCtxReset cuStreamAddCallback
    cuEventCreate cuEventSynchronize cuEventQuery cuEventRecord cuEventDestroy_v2
    cuLaunchKernel cuLinkCreate cuLinkAddData cuLinkComplete cuLinkDestroy
    cuModuleLoadData cuModuleUnload cuModuleGetFunction cuModuleGetGlobal cuTexObjectCreate cuTexObjectDestroy
    cuGLGetDevices_v2 cuGraphicsGLRegisterImage cuGraphicsUnregisterResource cuGraphicsMapResources
    cuGraphicsUnmapResources cuGraphicsSubResourceGetMappedArray cuGraphicsResourceGetMappedPointer_v2
    cuArray3DCreate_v2 cuArrayCreate_v2 cuArrayDestroy cuStreamWaitEvent
    cuvidGetDecodeStatus cuvidReconfigureDecoder
    cuvidCtxLockCreate cuvidCtxLockDestroy cuvidCtxLock cuvidCtxUnlock
    cuvidCreateVideoSource cuvidDestroyVideoSource cuvidCreateVideoSourceW cuvidSetVideoSourceState
    cuvidGetVideoSourceState cuvidGetSourceVideoFormat cuvidGetSourceAudioFormat
    cuvidCreateVideoParser cuvidParseVideoData cuvidDestroyVideoParser
}
