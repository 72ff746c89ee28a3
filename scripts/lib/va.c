/* libva of the portable build: the calls that FFmpeg makes, handed on to the host's libva, which is loaded when the first
 * display is asked for. A host without it gets no display, which FFmpeg reports as a device that cannot be opened.
 *
 * va_calls.h has a line F(name) for each call; vaGetDisplayDRM and vaErrorStr are below. */

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

/* VA_STATUS_ERROR_UNIMPLEMENTED */
enum { UNIMPLEMENTED = 0x14 };

static int unimplemented(void) { return UNIMPLEMENTED; }

/* Where each call goes. */
#define F(name) __attribute__((visibility("hidden"))) void *stillframe_##name = (void *)unimplemented;
#include "va_calls.h"
#undef F

/* A call is a jump: arguments and stack stay as they are, however many there are. */
#define F(name)                                                                                                        \
    __asm__(".text\n.globl " #name "\n.type " #name ", @function\n" #name ":\n"                                        \
            "  endbr64\n  jmp *stillframe_" #name "(%rip)\n.size " #name ", .-" #name "\n");
#include "va_calls.h"
#undef F

static void *(*get_display_drm)(int);
static const char *(*error_str)(int);

static void load(void)
{
    /* Visible to all that is loaded later, as if linked: drivers look for libva's symbols. */
    void *va = dlopen("libva.so.2", RTLD_NOW | RTLD_GLOBAL);
    void *drm = va ? dlopen("libva-drm.so.2", RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!drm)
        return;
#define F(name)                                                                                                        \
    {                                                                                                                  \
        void *found = dlsym(va, #name);                                                                                \
        if (found)                                                                                                     \
            stillframe_##name = found;                                                                                 \
    }
#include "va_calls.h"
#undef F
    error_str = (const char *(*)(int))dlsym(va, "vaErrorStr");
    get_display_drm = (void *(*)(int))dlsym(drm, "vaGetDisplayDRM");
}

void *vaGetDisplayDRM(int fd);
void *vaGetDisplayDRM(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return get_display_drm ? get_display_drm(fd) : NULL;
}

const char *vaErrorStr(int status);
const char *vaErrorStr(int status)
{
    return error_str ? error_str(status) : "libva is not there";
}
