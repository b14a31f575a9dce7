"""Numbers for what is met, in the order in which it is first met."""

from .compiling import compiled


@compiled
def number_codes(codes, place, met, count, first):
    """Replace codes by their numbers, in place; a code that has none yet gets the next one.

    Parameters
    ----------
    codes : ndarray of shape (n,), int32
    place : ndarray of shape (d,), int32
        For each code its number + 1, or 0.
    met : ndarray of shape (at least count + n,), int32
        The codes in the order of their numbers.
    count : int
        How many have a number.
    first : int
        The first number.

    Returns
    -------
    int
        The count after the call.
    """
    for i in range(codes.size):
        code = codes[i]
        if place[code] == 0:
            met[count] = code
            count += 1
            place[code] = first + count
        codes[i] = place[code] - 1
    return count
