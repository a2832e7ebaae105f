/* Runs a command in which io_uring is refused, as container runtimes refuse it: io_uring_setup answers EPERM.
 *
 *   refuse_io_uring COMMAND [ARG...] */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof steps / sizeof steps[0], steps};

    if (argc < 2) {
        fprintf(stderr, "usage: refuse_io_uring COMMAND [ARG...]\n");
        return 2;
    }
    /* Without the first call an unprivileged process may not make the second. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        perror("refuse_io_uring: seccomp");
        return 1;
    }
    /* A filter that refuses nothing would make every test under it a test of something else. */
    if (syscall(SYS_io_uring_setup, 1, NULL) != -1 || errno != EPERM) {
        fprintf(stderr, "refuse_io_uring: io_uring is not refused\n");
        return 1;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
