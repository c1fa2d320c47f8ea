// Waiting for conditions, never for time alone.

const PAUSE_BETWEEN_LOOKS = 50;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The first truthy result of `look`; an error that names `what` once `deadline` milliseconds are over.
export async function eventually(what, look, deadline = 10_000) {
  const end = Date.now() + deadline;
  let lastError;
  while (Date.now() < end) {
    try {
      const result = await look();
      if (result) return result;
    } catch (error) {
      lastError = error;
    }
    await pause(PAUSE_BETWEEN_LOOKS);
  }
  throw new Error(`not within ${deadline} ms: ${what}`, { cause: lastError });
}

// `promise`, or an error that names `what` once `deadline` milliseconds are over.
export async function within(deadline, what, promise) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${deadline} ms: ${what}`)), deadline);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}
