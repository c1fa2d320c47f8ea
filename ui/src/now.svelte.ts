/** The time, for what is shown of it: a second's steps, and none while nobody looks. */
class Now {
  time = $state(Date.now());

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.time = Date.now();
    }, 1000);
  }
}

/** The one clock. */
export const now = new Now();
