/* bcryptprimitives.dll for the test rig, never shipped.
 *
 * Rust's standard library takes its random numbers from ProcessPrng. Wine 8 has no bcryptprimitives.dll, so
 * without this one no Rust program starts there. */
#include <windows.h>
#include <bcrypt.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len)
{
    while (len > 0) {
        ULONG part = len > 0x10000000 ? 0x10000000 : (ULONG)len;
        if (BCryptGenRandom(NULL, data, part, BCRYPT_USE_SYSTEM_PREFERRED_RNG) != 0)
            return FALSE;
        data += part;
        len -= part;
    }
    return TRUE;
}
