/** What a state means for the person. */
export type Meaning = 'good' | 'busy' | 'needs' | 'failed' | 'idle';
