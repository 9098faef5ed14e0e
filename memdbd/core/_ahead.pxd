# What _ahead.py needs of C, and cannot be said in Python: to ask for what is at an address, be there
# anything or not, and go on without it. Where a compiler cannot say it, it is left out.
cdef extern from *:
    """
    #ifdef __GNUC__
    #define ask_for(address) __builtin_prefetch(address)
    #else
    #define ask_for(address) ((void) (address))
    #endif
    """
    void ask_for(const void *address) noexcept nogil
